package controlplane

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/nixmesh/nixmesh/agentapi"
)

// problems are what a person should know of this agent, each under a key of the
// code that found it, so that it can be taken back when it is over.
type problems struct {
	clock Clock
	tell  func(agentapi.Event) // of a problem that is new or over

	mu   sync.Mutex // guards what follows
	open map[string]agentapi.Problem
}

func newProblems(clock Clock, tell func(agentapi.Event)) *problems {
	return &problems{clock: clock, tell: tell, open: map[string]agentapi.Problem{}}
}

// set says what is wrong, and a command where one helps. The same problem keeps
// the time at which it began.
func (p *problems) set(key, what, next string) {
	now := p.clock.Now()
	p.mu.Lock()
	old, known := p.open[key]
	since := now
	if known {
		since = old.Since
	}
	p.open[key] = agentapi.Problem{What: what, Since: since, Next: next}
	p.mu.Unlock()
	if old.What != what {
		p.tell(agentapi.Event{Time: now, Kind: agentapi.EventProblem, State: "open", Detail: what})
	}
}

// clear says that a problem is over, or was none.
func (p *problems) clear(key string) {
	p.mu.Lock()
	old, known := p.open[key]
	delete(p.open, key)
	p.mu.Unlock()
	if known {
		p.tell(agentapi.Event{Time: p.clock.Now(), Kind: agentapi.EventProblem, State: "over", Detail: old.What})
	}
}

// clearAll says that all problems under keys with a prefix are over.
func (p *problems) clearAll(prefix string) {
	p.mu.Lock()
	var keys []string
	for key := range p.open {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	p.mu.Unlock()
	for _, key := range keys {
		p.clear(key)
	}
}

// check sets a problem where there is an error, and else clears it.
func (p *problems) check(key string, err error, next string) {
	if err != nil {
		p.set(key, err.Error(), next)
		return
	}
	p.clear(key)
}

// list is what is wrong now, the oldest first.
func (p *problems) list() []agentapi.Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []agentapi.Problem
	for _, problem := range p.open {
		list = append(list, problem)
	}
	slices.SortFunc(list, func(a, b agentapi.Problem) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.What, b.What))
	})
	return list
}

func (p *problems) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}

// watchers hand events to who watches. Nobody waits for a watcher.
type watchers struct {
	mu   sync.Mutex // guards what follows
	all  map[*watcher]bool
	over bool
}

type watcher struct {
	events chan agentapi.Event
	lost   bool // an event did not fit, and the watcher was not told yet
}

// watchRoom is how many events wait for a watcher at most.
const watchRoom = 1024

func newWatchers() *watchers { return &watchers{all: map[*watcher]bool{}} }

// any says whether somebody watches: events that nobody sees need not be made.
func (w *watchers) any() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.all) > 0
}

func (w *watchers) tell(e agentapi.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.all {
		if one.lost {
			select {
			case one.events <- agentapi.Event{Time: e.Time, Kind: agentapi.EventLost}:
				one.lost = false
			default:
				continue
			}
		}
		select {
		case one.events <- e:
		default:
			one.lost = true
		}
	}
}

// watch begins a watch. stop ends it and closes the channel; it may be called
// twice.
func (w *watchers) watch() (<-chan agentapi.Event, func()) {
	one := &watcher{events: make(chan agentapi.Event, watchRoom)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		close(one.events)
		return one.events, func() {}
	}
	w.all[one] = true
	return one.events, func() { w.drop(one) }
}

func (w *watchers) drop(one *watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all[one] {
		delete(w.all, one)
		close(one.events)
	}
}

// end ends all watches, and those that begin later.
func (w *watchers) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	for one := range w.all {
		close(one.events)
	}
	clear(w.all)
}
