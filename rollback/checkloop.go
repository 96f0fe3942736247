package rollback

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// checkPeriod and execPeriod are how often a check runs during verification:
// more often than in daily life, since a switch waits for it.
const (
	checkPeriod = 500 * time.Millisecond
	execPeriod  = time.Second
)

// defaultCheckTimeout bounds a check that names none.
const defaultCheckTimeout = 5 * time.Second

// checkLoop runs every check over and over beside the samples.
type checkLoop struct {
	h      *helper
	checks []hostfacts.Check

	mu    sync.Mutex // guards state
	state []checkState
}

type checkState struct {
	ok         bool
	answer     string
	runs, bad  int
	failing    time.Duration // boot time since when it fails, in a row
	lastPassed time.Duration // boot time of the start of the newest good run
}

func newCheckLoop(h *helper, checks []hostfacts.Check) *checkLoop {
	l := &checkLoop{h: h, checks: checks, state: make([]checkState, len(checks))}
	for i := range l.state {
		l.state[i] = checkState{answer: "has not answered yet", lastPassed: -1, failing: -1}
	}
	return l
}

// start runs the checks until ctx ends; wg waits for them.
func (l *checkLoop) start(ctx context.Context, wg *sync.WaitGroup) {
	for i := range l.checks {
		wg.Go(func() {
			period := checkPeriod
			if l.checks[i].Kind == hostfacts.CheckExec {
				period = execPeriod
			}
			for ctx.Err() == nil {
				l.once(ctx, i)
				if l.h.Clock.Sleep(ctx, period) != nil {
					return
				}
			}
		})
	}
}

func (l *checkLoop) once(ctx context.Context, i int) {
	c := l.checks[i]
	timeout := c.Timeout.D()
	if timeout <= 0 {
		timeout = defaultCheckTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := l.h.Clock.Boot()
	ok, answer := false, "this build of nixmesh runs no checks"
	if l.h.Check != nil {
		ok, answer = l.h.Check(ctx, c)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.state[i]
	s.ok, s.answer = ok, answer
	s.runs++
	if ok {
		s.lastPassed, s.failing = began, -1
		return
	}
	s.bad++
	if s.failing < 0 {
		s.failing = began
	}
}

// conditions is each check's last answer.
func (l *checkLoop) conditions() []condition {
	now := l.h.Clock.Boot()
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]condition, len(l.checks))
	for i, c := range l.checks {
		s := l.state[i]
		out[i] = condition{name: "check " + c.Name, unit: c.Unit, service: c.Service, ok: s.ok}
		if s.runs == 0 {
			out[i].answer = c.Name + ": " + s.answer
			continue
		}
		if !s.ok {
			out[i].answer = fmt.Sprintf("%s: %s for %.0f s (%d of %d checks)", c.Name, s.answer, (now - s.failing).Seconds(), s.bad, s.runs)
		}
	}
	return out
}

// fresh says that every check has passed in a run that began after since.
func (l *checkLoop) fresh(since time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.state {
		if !s.ok || s.lastPassed < since {
			return false
		}
	}
	return true
}
