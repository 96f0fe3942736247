package health

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// Most checks that run at the same time. One that waits for its turn is late,
// and its timeout begins with its turn.
const (
	mostNetwork = 64
	mostExec    = 8 // each is a process or more
)

// Health watches the instances of one host.
type Health struct {
	opts    Options
	eyes    *eyes // nil: units are taken to run
	network chan struct{}
	exec    chan struct{}
	changed chan struct{} // holds one: Instances has a new answer

	wg sync.WaitGroup // all goroutines, in Stop

	mu        sync.Mutex // guards what follows
	ctx       context.Context
	cancel    context.CancelCauseFunc
	units     map[string]*unit
	checks    map[string]*check
	instances []*instance
	shown     []Instance
	shownAt   time.Time // when answers that are no other state were shown last
}

var errStopped = errors.New("health is stopped")

// New is one that watches nothing yet.
func New(o Options) *Health {
	h := &Health{
		opts:    o.complete(),
		network: make(chan struct{}, mostNetwork),
		exec:    make(chan struct{}, mostExec),
		changed: make(chan struct{}, 1),
		units:   map[string]*unit{},
		checks:  map[string]*check{},
	}
	if o.Cgroups != "" {
		h.eyes = &eyes{cgroups: o.Cgroups, units: h.opts.Units, folders: map[string]string{}}
	}
	return h
}

// Start begins the checks. ctx bounds the start only; Stop ends them.
func (h *Health) Start(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx != nil {
		return errors.New("health was started before")
	}
	h.ctx, h.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	h.wg.Go(h.tell)
	h.watch()
	for _, c := range h.checks {
		h.launch(c, nil)
	}
	return nil
}

// Stop ends all checks and waits for them, for as long as ctx.
func (h *Health) Stop(ctx context.Context) error {
	h.mu.Lock()
	started := h.ctx != nil
	if started {
		h.cancel(errStopped)
	}
	h.mu.Unlock()
	if !started {
		return nil
	}
	ended := make(chan struct{})
	go func() { h.wg.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Instances is how the host's instances are, by service, version and copy.
func (h *Health) Instances() []Instance {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.shown)
}

// tell calls OnChange, once for all changes meanwhile.
func (h *Health) tell() {
	for {
		select {
		case <-h.changed:
			h.opts.OnChange()
		case <-h.ctx.Done():
			return
		}
	}
}

// Configure says which instances and checks there are, as the host's facts have
// them. Those that are as before keep their state; a check that goes is ended.
func (h *Health) Configure(instances []hostfacts.Instance, checks []hostfacts.Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.configureUnits(now, instances)
	h.configureChecks(checks)
	h.configureInstances(now, instances)
	h.look(now)
}
