package term

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	tb := Table{Header: []string{"HOST", "GEN", ""}, Right: []bool{false, true}}
	tb.Add("app1", "7", "done")
	tb.Add("\x1b[1mdb1\x1b[0m", "118")
	tb.Add("edge1", "")
	got := strings.Join(tb.Lines(), "\n")
	want := "HOST   GEN\napp1     7  done\n\x1b[1mdb1\x1b[0m    118\nedge1    -"
	if got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestColourIsOnlyColour(t *testing.T) {
	s := Style{Colour: true}
	for _, word := range []string{"ok", "FAIL", "rolled back: why", "-", "other"} {
		if got := Strip(s.State(word)); got != word {
			t.Errorf("%q became %q", word, got)
		}
		if got := (Style{}).State(word); got != word {
			t.Errorf("without colour %q became %q", word, got)
		}
	}
}

func TestDetect(t *testing.T) {
	env := func(m map[string]string) func(string) string { return func(k string) string { return m[k] } }
	var b bytes.Buffer
	if s := Detect(&b, env(map[string]string{"TERM": "xterm", "LANG": "C.UTF-8"})); s.TTY || s.Colour || s.UTF8 {
		t.Errorf("a buffer is no terminal: %+v", s)
	}
	if s := Detect(&b, env(map[string]string{"CLICOLOR_FORCE": "1"})); !s.Colour {
		t.Error("CLICOLOR_FORCE does nothing")
	}
}

func TestConfirm(t *testing.T) {
	for in, want := range map[string]bool{"y\n": true, "Yes\nmore": true, "\n": false, "": false, "yep\n": false} {
		var out bytes.Buffer
		got, err := Confirm(strings.NewReader(in), &out, "Go?")
		if err != nil || got != want || out.String() != "Go? [y/N] " {
			t.Errorf("%q: %v %v %q", in, got, err, out.String())
		}
	}
}

func TestQuantities(t *testing.T) {
	for got, want := range map[string]string{
		Size(15623782): "14.9 MiB", Size(0): "0 B", ShortSize(12 << 20): "12M",
		Span(2100 * time.Millisecond): "2.1 s", Span(14 * time.Second): "14 s", Span(4 * time.Hour): "4 h",
		Clock(132 * time.Second): "02:12", Ago(time.Unix(100, 0), time.Unix(97, 0)): "3 s ago",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
