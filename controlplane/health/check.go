package health

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// One that has not proved itself since its unit's start is asked as often as
// this, if its own time is longer: it is kept from no caller for longer than
// need be.
const provingPeriod = 500 * time.Millisecond

// check is one check over and over. Health's mu guards what changes.
type check struct {
	facts  hostfacts.Check
	kick   chan struct{} // holds one: the unit started, run now
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when its goroutine has ended; nil: not launched

	tracker *hostfacts.Tracker
	proven  bool   // it was healthy since the unit's start
	failed  bool   // it is unhealthy, and not for being new
	spread  bool   // it has its own time since the unit's start
	fails   int    // in a row
	answer  string // of the last failure that counts
}

func newCheck(facts hostfacts.Check) *check {
	return &check{facts: facts, kick: make(chan struct{}, 1), tracker: hostfacts.NewTracker(facts)}
}

// errRemoved is why a check that is configured no more ends.
var errRemoved = errors.New("the check was removed")

// end ends its goroutine.
func (c *check) end() {
	if c.cancel != nil {
		c.cancel(errRemoved)
	}
}

// forget begins anew, as for a unit that has just started.
func (c *check) forget() {
	c.tracker = hostfacts.NewTracker(c.facts)
	c.proven, c.failed, c.spread, c.fails, c.answer = false, false, false, 0, ""
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// trust takes it for healthy without a run.
func (c *check) trust() {
	for !c.tracker.Healthy() {
		c.tracker.Add(true)
	}
	c.proven = true
}

// add counts a result at a time since the unit's start. Failures do not count
// for After, and a check that was not yet healthy is unhealthy, not starting,
// after Fall failures in a row if the time that they take has passed, too.
func (c *check) add(r hostfacts.Result, age time.Duration) {
	c.fails++
	after := c.facts.After.D()
	if r.OK {
		c.fails = 0
	} else {
		c.answer = r.Answer
	}
	if r.OK || !c.tracker.Healthy() || age >= after {
		c.tracker.Add(r.OK)
	}
	switch patience := after + time.Duration(c.facts.Fall-1)*c.facts.Every.D(); {
	case c.tracker.Healthy():
		c.proven, c.failed = true, false
	case c.proven || c.fails >= c.facts.Fall && age >= patience:
		c.failed = true
	}
}

// state is what the results so far say.
func (c *check) state() State {
	switch {
	case c.tracker.Healthy():
		return Healthy
	case c.failed:
		return Unhealthy
	}
	return Starting
}

// period is the time to the next run. The first ones come soon, and the one
// after them at a time that is drawn, which spreads the checks of a host for
// good.
func (c *check) period() time.Duration {
	every := max(c.facts.Every.D(), minPeriod)
	switch {
	case c.state() == Starting:
		return min(every, provingPeriod)
	case !c.spread:
		c.spread = true
		return rand.N(every)
	}
	return every
}

// minPeriod is for facts that name no time; the language allows none below.
const minPeriod = 100 * time.Millisecond

// repeat runs a check until ctx ends, one run at a time.
func (h *Health) repeat(ctx context.Context, c *check) {
	timer := time.NewTimer(rand.N(min(max(c.facts.Every.D(), minPeriod), time.Second)))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-c.kick:
		case <-ctx.Done():
			return
		}
		timer.Reset(h.once(ctx, c))
	}
}

// once runs a check, if its unit runs, and gives the time to the next run.
func (h *Health) once(ctx context.Context, c *check) time.Duration {
	slots := h.network
	if c.facts.Kind == hostfacts.CheckExec {
		slots = h.exec
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return minPeriod
	}
	h.mu.Lock()
	u := h.units[c.facts.Unit]
	if u == nil || !u.runs() {
		h.mu.Unlock()
		return max(c.facts.Every.D(), minPeriod) // its start will kick
	}
	start := u.starts
	h.mu.Unlock()

	begun := time.Now()
	result := h.run(ctx, c.facts)

	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil || u.starts != start {
		return minPeriod // it ended, or asked a process that is no more
	}
	now := time.Now()
	was := c.state()
	c.add(result, now.Sub(u.since))
	if is := c.state(); is != was {
		h.opts.Logger.Debug("check changed", "check", c.facts.Name, "service", c.facts.Service, "state", is.String(), "answer", result.Answer)
	}
	h.review(now)
	return max(c.period()-now.Sub(begun), minPeriod)
}

// run is Run, and outlives what an answer may do to the reader of it.
func (h *Health) run(ctx context.Context, c hostfacts.Check) (result hostfacts.Result) {
	defer func() {
		if p := recover(); p != nil {
			h.opts.Logger.Error("check panicked", "check", c.Name, "panic", p, "stack", string(debug.Stack()))
			result = hostfacts.Result{Answer: fmt.Sprintf("the check itself broke: %v", p)}
		}
	}()
	return h.opts.Run(ctx, c)
}
