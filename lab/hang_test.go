package lab

import (
	"log/slog"
	"testing"
	"time"
)

// TestHealWhileHanging heals at the moment when the watch for a switch wants
// to know the host's process.
func TestHealWhileHanging(t *testing.T) {
	h := &host{dir: t.TempDir(), wake: make(chan struct{}, 1)}
	h.hangSwitch(&supervisor{log: slog.New(slog.DiscardHandler)}, 1)
	h.mu.Lock()
	healed := make(chan error, 1)
	go func() { healed <- h.heal("") }()
	time.Sleep(10 * hangPoll) // both wait for mu
	h.mu.Unlock()
	select {
	case err := <-healed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("heal and the watch for a switch wait for each other")
	}
}
