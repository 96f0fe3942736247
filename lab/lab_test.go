package lab

import (
	"net/netip"
	"testing"
	"time"
)

func TestBaseName(t *testing.T) { t.Log(baseName()) }

func TestBoot(t *testing.T) {
	needLab(t)
	l, err := New(Options{StateDir: t.TempDir() + "/lab", Log: func(s string) { t.Log(s) }, Hosts: []Host{
		{"a", netip.MustParseAddr("10.97.1.11")}, {"b", netip.MustParseAddr("10.97.1.12")}}})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	err = l.Up(t.Context(), func(b Booted) { t.Log(b) })
	t.Log(err, time.Since(begin))
	st, err2 := l.Status(t.Context())
	t.Logf("%+v %v", st, err2)
	if err != nil {
		t.Error(lastLines(l.path("supervisor.log"), 20), lastLines(l.path("hosts/a/console.log"), 20))
	}
	begin = time.Now()
	t.Log(l.Down(t.Context()), time.Since(begin))
}
