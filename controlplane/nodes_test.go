package controlplane

import "testing"

// Where judging keys fails, and somebody survives that, the next one is judged
// all the same.
func TestJudgeIsGivenBack(t *testing.T) {
	w := newWorld(t, t.TempDir(), 2)
	m := w.hosts["h001"]
	for what, fails := range map[string]func(n *nodes){
		"configure": func(n *nodes) { _ = n.configure(w.config) },
		"admit":     func(n *nodes) { _ = n.Admit("h001", m.cert) },
	} {
		n := &nodes{self: "h000", own: w.hosts["h000"].cert, pinned: map[string]string{"h001": w.config.Hosts["h001"].HostKey}} // without a book it fails
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: it did not fail", what)
				}
			}()
			fails(n)
		}()
		if !n.mu.TryLock() {
			t.Errorf("%s: the lock is kept", what)
		}
	}
}
