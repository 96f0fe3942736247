package refusal

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

type reason string

func TestToldOnceAMinute(t *testing.T) {
	var out bytes.Buffer
	c := New[reason](slog.New(slog.NewTextHandler(&out, nil)), "door: refused")
	for range 100 {
		c.Add("unknown", "x", "10.0.0.9:7946")
	}
	for i := range 10 * names {
		c.Add("unknown", strings.Repeat("n", i), "")
	}
	if n := strings.Count(out.String(), "name=x"); n != 1 {
		t.Errorf("x was told %d times", n)
	}
	if n := strings.Count(out.String(), "\n"); n > names {
		t.Errorf("%d lines", n)
	}
	if n := c.Counts()["unknown"]; n != 100+10*names {
		t.Errorf("counted %d", n)
	}
}
