package rollback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// The two leases of a host.
const (
	leaseRun    = "run"    // of the run: verbs with RUN demand it
	leaseLedger = "ledger" // of the release number
)

func leaseFile(kind string) string { return runDir + "/lease-" + kind + ".json" }

// readLease returns the lease that is held, nil where there is none: absent,
// of another boot, or not renewed for LeaseStaleAfter of the host's own clock.
// The journal's lock is held.
func (h *helper) readLease(kind string) (*Lease, error) {
	b, err := h.Files.ReadFile(leaseFile(kind))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read lease: %w", err)
	}
	l := &Lease{}
	if err := json.Unmarshal(b, l); err != nil {
		h.note("lease %s is not readable and counts as none: %v", leaseFile(kind), err)
		return nil, nil
	}
	l.Age = h.journals.now() - l.Renewed
	if l.BootID != h.bootID || l.Age >= LeaseStaleAfter.Seconds() || l.Age < 0 {
		return nil, nil
	}
	return l, nil
}

func (h *helper) leaseVerb(_ context.Context, c *call) error {
	var req LeaseRequest
	if err := h.request(&req); err != nil {
		return err
	}
	if !idPattern.MatchString(req.Run) {
		return refuse(CodeUsage, "", "lease of run %q: want 1 to 64 of a-z, 0-9 and -", req.Run)
	}
	action, kind := c.words[0], c.words[1]
	answer := LeaseAnswer{}
	var err error
	switch action {
	case "take", "renew":
		answer.Lease, err = h.takeLease(kind, action == "renew", req)
	case "drop":
		err = h.dropLease(kind, req.Run)
	}
	if err != nil {
		return err
	}
	if action == "take" && kind == leaseLedger {
		if answer.Records, err = h.records(0); err != nil {
			return err
		}
	}
	return h.answer(answer)
}

// takeLease takes or renews. A renewal of a lease that went stale, and that
// nobody else took, is a take.
func (h *helper) takeLease(kind string, renew bool, req LeaseRequest) (*Lease, error) {
	unlock, err := h.journals.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	held, err := h.readLease(kind)
	if err != nil {
		return nil, err
	}
	if held != nil && held.Run != req.Run {
		return nil, refuse(CodeLeaseHeld, "the same command with --wait-lock 90s",
			"%s lease is held by %s for %s (run %s), renewed %.0f s ago; if its deployer died it is free in %.0f s", kind,
			held.Holder, held.Reason, held.Run, held.Age, max(LeaseStaleAfter.Seconds()-held.Age, 1))
	}
	if kind == leaseRun && !renew {
		if err := h.mayTakeOver(req.Run); err != nil {
			return nil, err
		}
	}
	l := &Lease{Run: req.Run, Holder: plain(req.Holder, maxHolder), Reason: plain(req.Reason, maxHolder), BootID: h.bootID, Renewed: h.journals.now()}
	b, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encode lease: %w", err)
	}
	return l, writeVolatile(h.Files, leaseFile(kind), b)
}

// mayTakeOver is the table "Taking over a stale lease": a run that is under
// way resolves itself, whoever holds the lease.
func (h *helper) mayTakeOver(run string) error {
	j, err := h.journals.load()
	if errors.Is(err, errNoRun) {
		return nil
	}
	if err != nil {
		return err
	}
	return h.underWay(j, run)
}

// underWay refuses where another run than run is armed or later and not over.
func (h *helper) underWay(j *Journal, run string) error {
	if j.Phase.Terminal() || j.Phase == PhaseRooted || j.Run == run {
		return nil
	}
	left := j.Deadline - h.journals.now()
	return refuse(CodeBusy, "the same command with --wait-lock 90s",
		"run %s is %s and resolves itself within %.0f s", j.Run, j.Phase, max(left, 1))
}

func (h *helper) dropLease(kind, run string) error {
	unlock, err := h.journals.lock()
	if err != nil {
		return err
	}
	defer unlock()
	held, err := h.readLease(kind)
	if err != nil || held == nil {
		return err
	}
	if held.Run != run {
		return refuse(CodeLeaseHeld, "", "%s lease is of run %s, not %s", kind, held.Run, run)
	}
	return h.Files.Remove(leaseFile(kind))
}

// holdsLease refuses a verb with RUN by somebody who does not hold that run's
// lease.
func (h *helper) holdsLease(run string) error {
	unlock, err := h.journals.lock()
	if err != nil {
		return err
	}
	defer unlock()
	held, err := h.readLease(leaseRun)
	if err != nil {
		return err
	}
	if held == nil {
		return refuse(CodeNoLease, "take the lease of run "+run, "nobody holds the run lease of this host")
	}
	if held.Run != run {
		return refuse(CodeLeaseHeld, "wait for it", "the run lease is held by %s for %s (run %s)", held.Holder, held.Reason, held.Run)
	}
	return nil
}
