package controlplane

import (
	"os"
	"testing"
)

// What the run before left, and whether an Envoy may have been running since: where it
// cannot be read that may be, and an Envoy that serves is not held for a new one.
func TestResume(t *testing.T) {
	m := newMeshed(t, 2)
	h := m.hosts["h001"]
	for _, c := range []struct {
		name     string
		leave    func() error
		outlived bool
	}{
		{"what it wrote", func() error { return nil }, true},
		{"an empty file", func() error { return os.WriteFile(h.state(fileRun), nil, 0o600) }, true},
		{"a file that is cut off", func() error { return os.Truncate(h.state(fileRun), 20) }, true},
		{"one that is no run", func() error { return os.WriteFile(h.state(fileRun), seal([]byte("[]")), 0o600) }, true},
		{"nothing", func() error { return os.Remove(h.state(fileRun)) }, false},
		{"what it wrote before the machine booted", func() error { h.boot++; return nil }, false},
	} {
		h.stop()
		if err := c.leave(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := h.start().proxy.outlived; got != c.outlived {
			t.Errorf("%s: outlived %t", c.name, got)
		}
		m.eventually(testPatience, func() string {
			if _, err := os.Stat(h.state(fileRun)); err != nil {
				return err.Error()
			}
			return ""
		})
	}
}
