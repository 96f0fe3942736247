package rollback

import (
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

const sleeper = "ExecStart=/bin/sleep infinity"

// TestHostCommit is the plain way: armed, switched, verified, committed.
func TestHostCommit(t *testing.T) {
	h := newLabHost(t)
	old := h.build(toplevel{name: "1"})
	next := h.build(toplevel{name: "2", units: map[string]string{"web.service": sleeper}, want: []string{"web.service"}})
	h.bootFirst(old)
	run := h.open(next)
	begun := time.Now()
	h.ok(nil, "activate", run)
	t.Logf("activate returned after %s", time.Since(begun))
	a := h.ok(StatusRequest{Run: run, While: []Phase{PhaseArmed, PhaseActivating, PhaseVerifying}, WaitFor: hostfacts.Duration(patience)}, "status", "--wait")
	if a.Journal.Phase != PhaseVerifying || a.Journal.Verdict == nil || !a.Journal.Verdict.Good {
		t.Fatalf("no good verdict: %+v", a.Journal)
	}
	t.Logf("verdict after %s: %d of %d", time.Since(begun), a.Journal.Verdict.Passed, a.Journal.Verdict.Total)
	h.ok(nil, "commit", run)
	a = h.ok(StatusRequest{Run: run, While: []Phase{PhaseCommitting}, WaitFor: hostfacts.Duration(patience)}, "status", "--wait")
	if a.Journal.Phase != PhaseCommitted {
		t.Fatalf("phase %s: %s", a.Journal.Phase, a.Journal.Reason)
	}
	t.Logf("committed after %s", time.Since(begun))
	h.ended(next)
}
