package controlplane

import (
	"errors"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/mesh"
)

// soon fails where something waits for what never comes.
func soon(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(testPatience):
		t.Fatalf("%s does not come to an end", what)
	}
}

// A panic that is survived leaves the catalog to others.
func TestPanicLeavesNoLock(t *testing.T) {
	w := newWorld(t, t.TempDir(), 1)
	a := must(New(w.hosts["h000"].options()))(t)
	defer func() { soon(t, "stop", func() { _ = a.Stop(t.Context()) }) }()
	err := a.poison.guard("test", func() []byte { return []byte("x") }, func() error {
		return a.live.do(true, func(*catalog.Catalog, time.Time) error { panic("a flaw") })
	})
	if !errors.Is(err, ErrPoison) {
		t.Fatal(err)
	}
	soon(t, "a look", func() { a.live.look(func(*catalog.Catalog, *mesh.Config, time.Time) {}) })
}

// A status that waits for what is known of the others' reach keeps nobody from
// the catalog: who tells what is known of that has to get there.
func TestStatusHoldsNoCatalog(t *testing.T) {
	w := newWorld(t, t.TempDir(), 2)
	a := must(New(w.hosts["h000"].options()))(t)
	defer func() { soon(t, "stop", func() { _ = a.Stop(t.Context()) }) }()
	a.documents.put(w.sign("anna", nil, nil).Canonical())
	a.reach.mu.Lock()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		a.Status()
	}()
	for until := time.Now().Add(100 * time.Millisecond); time.Now().Before(until); time.Sleep(time.Millisecond) {
		soon(t, "a look", func() { a.live.look(func(*catalog.Catalog, *mesh.Config, time.Time) {}) })
	}
	a.reach.mu.Unlock()
	soon(t, "a status", func() { <-asked })
}
