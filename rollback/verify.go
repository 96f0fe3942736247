package rollback

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// samplePeriod is how often verification looks.
const samplePeriod = 500 * time.Millisecond

// How much of the journal a verdict carries: of the unit that it names, and of
// each of the first few that failed beside it.
const (
	unitLogLines  = 20
	otherLogLines = 8
	otherLogUnits = 3
)

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
	checks := newCheckLoop(h, append(facts.Gates(), facts.Checks...))
	var wg sync.WaitGroup
	checks.start(ctx, &wg)
	defer func() { cancel(); wg.Wait() }()

	w := &watcher{h: h, j: j, facts: facts}
	defer w.close()
	envoy := h.envoyFits(ctx, &wg, j, facts)
	heldSince := time.Duration(-1)
	for {
		now := h.Clock.Boot()
		sample := w.sample(ctx)
		sample.add(checks.conditions()...)
		if envoy != nil {
			envoy.judge(sample)
		}
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
			return h.badVerdict(ctx, sample, *sample.hopeless, "", w.failed), nil
		}
		if now >= deadline {
			worst := sample.worst()
			return h.badVerdict(ctx, sample, worst, fmt.Sprintf(" (not verified within %s)", j.Confirm.D()), w.failed), nil
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

// badVerdict says which condition failed, with the unit's last lines, and what
// else was seen failed in NEW.
func (h *helper) badVerdict(ctx context.Context, s *sample, c condition, suffix string, failed []string) *Verdict {
	others := slices.DeleteFunc(slices.Clone(failed), func(u string) bool { return u == c.unit })
	answer := c.answer
	if len(others) > 0 {
		answer += ", and failed: " + joinMax(others, otherLogUnits)
	}
	v := s.verdict(false, answer+suffix)
	v.Unit, v.Service = c.unit, c.service
	v.Log = h.failureLog(ctx, c.unit, others)
	return v
}

// failureLog is the last lines of the unit that a verdict names, "" for none,
// after those of others that failed: what it lacks may be what they were to do,
// and only they say why they could not.
func (h *helper) failureLog(ctx context.Context, unit string, others []string) []string {
	h.syncLog(ctx)
	var log []string
	for _, o := range others[:min(len(others), otherLogUnits)] {
		for _, l := range h.unitLog(ctx, o, otherLogLines) {
			log = append(log, o+": "+l)
		}
	}
	if unit != "" {
		log = append(log, h.unitLog(ctx, unit, unitLogLines)...)
	}
	return log
}

// syncLog lets the system's journal take in what was said up to now. Where it
// cannot, what it has is told.
func (h *helper) syncLog(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := h.runTool(ctx, nil, "journalctl", "--sync"); err != nil {
		h.note("sync the journal: %v", err)
	}
}

// unitLog is the unit's last lines in the system's journal.
func (h *helper) unitLog(ctx context.Context, unit string, lines int) []string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := h.runTool(ctx, nil, "journalctl", "--no-pager", "--quiet", "--output=cat", fmt.Sprintf("--lines=%d", lines), "--unit="+unit)
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
