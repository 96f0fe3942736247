package health

import (
	"fmt"
	"time"
)

// A state is shown at once. What is no other state, the words of a reason, is
// shown this often at most: each is a record that goes to every host.
const wordsPeriod = 10 * time.Second

// An instance that fell so often within a minute is believed again only when it
// has not fallen for a while: callers are not sent to and fro, and the fleet is
// not told each time. The catalog damps what is slower than this.
const (
	flapFalls  = 3
	flapWindow = time.Minute
	flapHold   = 10 * time.Second
)

// Falls are counted for people over this time, as many as these at most.
const (
	fallsWindow = 10 * time.Minute
	mostFalls   = 100
)

// instance is one copy of a service.
type instance struct {
	unit   *unit
	checks []*check
	state  State       // what unit and checks say, not damped
	falls  []time.Time // when that became unhealthy, of the last fallsWindow
	shown  Instance
}

// judge is what unit and checks say now.
func (i *instance) judge() (State, string) {
	if !i.unit.runs() {
		return Unhealthy, i.unit.name + " is not running"
	}
	state, reason := Healthy, ""
	for _, c := range i.checks {
		if s := c.state(); s == Unhealthy || s == Starting && state == Healthy {
			state, reason = s, c.answer
			if s == Unhealthy {
				break
			}
		}
	}
	return state, reason
}

// damp is what is shown of that.
func (i *instance) damp(now time.Time) (State, string) {
	state, reason := i.judge()
	if state == Unhealthy && i.state != Unhealthy && i.state != 0 {
		i.falls = append(i.falls, now)
	}
	i.state = state
	for len(i.falls) > 0 && (now.Sub(i.falls[0]) >= fallsWindow || len(i.falls) > mostFalls) {
		i.falls = i.falls[1:]
	}
	if state == Unhealthy || i.shown.State != Unhealthy {
		return state, reason
	}
	recent := 0
	for _, at := range i.falls {
		if now.Sub(at) < flapWindow {
			recent++
		}
	}
	if recent >= flapFalls && now.Sub(i.falls[len(i.falls)-1]) < flapHold {
		return Unhealthy, fmt.Sprintf("failed %d times in a minute, not believed yet", recent)
	}
	return state, reason
}

// review shows what changed. The caller holds mu.
func (h *Health) review(now time.Time) {
	next := make([]Instance, len(h.instances))
	words, states := false, len(next) != len(h.shown)
	for n, i := range h.instances {
		state, reason := i.damp(now)
		one := i.shown
		if state != one.State {
			one.State, one.Since = state, now
		}
		one.Reason, one.Flaps = reason, len(i.falls)
		next[n] = one
		if n < len(h.shown) && h.shown[n] != one {
			same := one
			same.Reason, same.Flaps = h.shown[n].Reason, h.shown[n].Flaps
			words = true
			states = states || same != h.shown[n]
		}
	}
	if !states && (!words || now.Sub(h.shownAt) < wordsPeriod) {
		return
	}
	for n, i := range h.instances {
		if next[n].State != i.shown.State {
			h.opts.Logger.Info("instance changed", "unit", i.unit.name, "service", i.shown.Service, "state", next[n].State.String(), "reason", next[n].Reason)
		}
		i.shown = next[n]
	}
	h.shown, h.shownAt = next, now
	select {
	case h.changed <- struct{}{}:
	default:
	}
}
