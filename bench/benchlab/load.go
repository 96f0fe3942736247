package benchlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Caller asks one URL again and again, never twice at once.
type Caller struct {
	Name   string // what its answers are told apart by
	Client *http.Client
	URL    string
	Every  time.Duration // from one request to the next
	After  time.Duration // when the first one is due
}

// Asked is one request that was answered.
type Asked struct {
	Caller         string
	Sent, Answered time.Time
	Status         int
	By             string // who says that it answered
}

// Load is callers at work.
type Load struct {
	callers []Caller
	end     context.CancelFunc
	running sync.WaitGroup
	fresh   atomic.Int64 // connections that were opened

	mu     sync.Mutex // guards what follows
	all    []Asked
	failed []error
}

// Ask lets callers ask until Stop, or until ctx ends.
func Ask(ctx context.Context, callers []Caller) *Load {
	l := &Load{callers: callers}
	ctx, l.end = context.WithCancel(ctx)
	for _, c := range callers {
		l.running.Go(func() { l.call(ctx, c) })
	}
	return l
}

func (l *Load) call(ctx context.Context, c Caller) {
	trace := httptrace.WithClientTrace(context.WithoutCancel(ctx), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if !i.Reused {
			l.fresh.Add(1)
		}
	}})
	due := time.NewTimer(c.After)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-due.C:
		}
		due.Reset(c.Every)
		a, err := c.ask(trace)
		l.mu.Lock()
		if err != nil {
			l.failed = append(l.failed, fmt.Errorf("%s: %w", c.Name, err))
		} else {
			l.all = append(l.all, a)
		}
		l.mu.Unlock()
	}
}

func (c *Caller) ask(ctx context.Context) (a Asked, err error) {
	a = Asked{Caller: c.Name}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return a, err
	}
	a.Sent = time.Now()
	response, err := c.Client.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	a.Answered, a.Status, a.By = time.Now(), response.StatusCode, response.Header.Get("Answered-By")
	return a, err
}

// Stop ends the callers, and says what failed. A refusal is an answer.
func (l *Load) Stop() (failed []error) {
	l.end()
	l.running.Wait()
	return l.failed
}

// Connections are those that callers opened since the last call.
func (l *Load) Connections() int64 { return l.fresh.Swap(0) }

// since are the requests that were sent after a moment and answered, in that order.
// What was sent before is forgotten.
func (l *Load) since(moment time.Time) []Asked {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = slices.DeleteFunc(l.all, func(a Asked) bool { return a.Sent.Before(moment) })
	all := slices.Clone(l.all)
	slices.SortFunc(all, func(a, b Asked) int { return a.Sent.Compare(b.Sent) })
	return all
}

// Turn is when the answers to a caller turned from old to new: not before the last
// request was sent that had an old answer, nor after the next answer came.
type Turn struct{ Last, First time.Duration }

// Turns waits until every caller's answers are new and stay so for a while, and says
// for each how long after a moment they turned.
func (l *Load) Turns(ctx context.Context, moment time.Time, stay time.Duration, old func(Asked) bool) (map[string]Turn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("answers do not turn within 15 s"))
	defer cancel()
	for {
		turns, newest := map[string]Turn{}, map[string]time.Duration{}
		for _, a := range l.since(moment) {
			sent, answered := a.Sent.Sub(moment), a.Answered.Sub(moment)
			t, turned := turns[a.Caller]
			switch {
			case old(a):
				turns[a.Caller] = Turn{Last: sent, First: -1}
			case !turned || t.First < 0:
				turns[a.Caller] = Turn{t.Last, answered}
			}
			newest[a.Caller] = sent
		}
		stays := true
		for _, c := range l.callers {
			t, ok := turns[c.Name]
			stays = stays && ok && t.First >= 0 && newest[c.Name] >= t.Last+stay
		}
		if stays {
			return turns, nil
		}
		if err := Sleep(ctx, look); err != nil {
			return nil, err
		}
	}
}

// First waits for the first answer to a request after a moment that is wanted, and
// says how long after it that one came.
func (l *Load) First(ctx context.Context, moment time.Time, wanted func(Asked) bool) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("answers do not turn within 15 s"))
	defer cancel()
	for {
		for _, a := range l.since(moment) {
			if wanted(a) {
				return a.Answered.Sub(moment), nil
			}
		}
		if err := Sleep(ctx, look); err != nil {
			return 0, err
		}
	}
}

const (
	patience = 15 * time.Second
	look     = 10 * time.Millisecond // from one look at the answers to the next
)

// Sleep waits, or says why ctx ended.
func Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
