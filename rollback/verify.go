package rollback

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// samplePeriod is how often verification looks.
const samplePeriod = 500 * time.Millisecond

// unitLogLines is how much of a failing unit's journal a verdict carries.
const unitLogLines = 20

func progressFile(run string) string { return runDir + "/progress-" + run + ".json" }

// verify watches NEW until everything has held for settle in a row (a good
// verdict, which then waits for the deployer's commit), a unit that has to run
// is failed for good, or confirm is over (bad: it starts the revert).
func (h *helper) verify(ctx context.Context, run string) error {
	j, err := h.journals.of(run)
	if err != nil {
		return err
	}
	if j.Phase != PhaseVerifying || j.Verdict != nil {
		return nil
	}
	verdict, err := h.watch(ctx, j)
	if err != nil {
		return err // timer B reverts
	}
	if _, err := h.journals.update(run, PhaseVerifying, func(j *Journal) {
		j.Verdict = verdict
		if !verdict.Good {
			j.Reason = verdict.Reason
		}
	}); err != nil {
		return err
	}
	if verdict.Good {
		h.note("verified: %d of %d conditions hold", verdict.Passed, verdict.Total)
		return nil
	}
	h.note("not verified: %s: reverting", verdict.Reason)
	return h.start(ctx, run, kindRevert)
}

// watch samples until there is a verdict.
func (h *helper) watch(ctx context.Context, j *Journal) (*Verdict, error) {
	facts, err := h.facts(j.New)
	if err != nil {
		facts = &hostfacts.Facts{} // a toplevel without nixmesh: its units and failures alone are judged
	}
	began := seconds(j.entered(PhaseVerifying))
	deadline := began + j.Confirm.D()

	ctx, cancel := context.WithCancel(ctx)
	checks := newCheckLoop(h, facts.Checks)
	var wg sync.WaitGroup
	checks.start(ctx, &wg)
	defer func() { cancel(); wg.Wait() }()

	w := &watcher{h: h, j: j, facts: facts}
	defer w.close()
	heldSince := time.Duration(-1)
	for {
		now := h.Clock.Boot()
		sample := w.sample(ctx)
		sample.add(checks.conditions()...)
		if !sample.holds() {
			heldSince = -1
		} else if heldSince < 0 {
			heldSince = now
		}
		held := time.Duration(0)
		if heldSince >= 0 {
			held = now - heldSince
		}
		h.progress(j.Run, sample, held)
		switch {
		case heldSince >= 0 && held >= j.Settle.D() && checks.fresh(heldSince):
			if bad := w.unloadable(ctx); len(bad) == 0 {
				return sample.verdict(true, ""), nil
			}
			heldSince = -1
		case sample.hopeless != nil:
			return h.badVerdict(ctx, sample, *sample.hopeless, ""), nil
		}
		if now >= deadline {
			worst := sample.worst()
			return h.badVerdict(ctx, sample, worst, fmt.Sprintf(" (not verified within %s)", j.Confirm.D())), nil
		}
		if err := h.Clock.Sleep(ctx, samplePeriod); err != nil {
			return nil, err
		}
	}
}

// entered is when the journal entered a phase last, in boot seconds.
func (j *Journal) entered(p Phase) float64 {
	for i := len(j.Times) - 1; i >= 0; i-- {
		if j.Times[i].Phase == p {
			return j.Times[i].At
		}
	}
	return 0
}

// badVerdict says which condition failed, with the unit's last lines.
func (h *helper) badVerdict(ctx context.Context, s *sample, c condition, suffix string) *Verdict {
	v := s.verdict(false, c.answer+suffix)
	v.Unit, v.Service = c.unit, c.service
	if c.unit != "" {
		v.Log = h.unitLog(ctx, c.unit)
	}
	return v
}

// unitLog is the unit's last lines in the system's journal.
func (h *helper) unitLog(ctx context.Context, unit string) []string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := h.runTool(ctx, nil, "journalctl", "--no-pager", "--quiet", "--output=cat", fmt.Sprintf("--lines=%d", unitLogLines), "--unit="+unit)
	if err != nil || out == "" {
		return nil
	}
	return splitLines(out)
}

// progress shows the state of verification to status; it is not worth an
// fsync.
func (h *helper) progress(run string, s *sample, held time.Duration) {
	p := VerifyState{Passed: s.passed(), Total: len(s.conditions), Held: held.Seconds()}
	if c := s.worst(); !c.ok {
		p.Waiting = c.answer
	}
	b, err := json.Marshal(p)
	if err == nil {
		err = writeVolatile(h.Files, progressFile(run), b)
	}
	if err != nil {
		h.note("show progress: %v", err)
	}
}
