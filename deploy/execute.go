package deploy

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ExecuteOptions are one deploy's choices.
type ExecuteOptions struct {
	Run      RunOptions
	Record   RecordInfo
	Parallel int           // 0 = the rollout's
	WaitLock time.Duration // patience with a held lease
	// Rollback says that the toplevels are proven and on the hosts already:
	// nothing is copied, the values to sign are read over SSH, all hosts of a
	// wave go at once and without soak, and a wave does not wait for the commits
	// of the one before it (see cascade).
	Rollback bool
}

// execution is one deploy under way.
type execution struct {
	d       *Deployer
	plan    *Plan
	o       ExecuteOptions
	stored  *Stored
	leases  *leases
	mesh    *meshRun // nil where the mesh is left alone
	id      string
	started time.Time

	envoys      sync.Mutex // one Envoy is restarted at a time; guards envoyFailed
	envoyFailed string     // host whose Envoy was not renewed, "" = go on

	mu      sync.Mutex // guards what follows
	results map[string]*HostResult
	runs    map[string]*hostRun
	stopped string // why no further host is started, "" = go on
}

// Execute carries a plan out and says how every host came out of it. soft is
// cancelled by the first Ctrl-C: nothing new is started, and hosts that armed
// are followed to their end on a context of its own. An error means that
// nothing was switched.
func (d *Deployer) Execute(soft context.Context, p *Plan, o ExecuteOptions) (*Summary, error) {
	hard := context.WithoutCancel(soft)
	e := &execution{d: d, plan: p, o: o, started: d.now(), id: newRun(p.Number),
		results: map[string]*HostResult{}, runs: map[string]*hostRun{}}
	d.Times = d.Times.withDefaults()
	hosts := e.hosts()
	e.leases = d.newLeases(fmt.Sprintf("release %d", p.Number))
	defer e.leases.drop(hard)
	if err := e.open(soft, hard); err != nil {
		return nil, err
	}
	d.emit(Event{Kind: KindRelease, Number: p.Number, Fleet: p.Fleet, Hosts: hosts, By: d.Operator, Detail: p.Kind})
	if len(hosts) == 0 { // only the mesh changes, or Envoys that an earlier deploy left
		e.renewEnvoys(soft, hard)
		return e.end(soft, hard), nil
	}
	e.prepare(soft)
	if e.failures() > d.Fleet.Rollout.MaxFailed {
		e.stop("a host could not be prepared")
	}
	if !e.anyReady() || e.failures() > d.Fleet.Rollout.MaxFailed {
		e.abandon(hard)
		return e.summary(soft), nil
	}
	e.mesh.begin(soft)
	if o.Rollback {
		e.cascade(soft, hard)
	} else {
		e.waves(soft, hard)
	}
	e.abandon(hard)
	e.renewEnvoys(soft, hard)
	return e.end(soft, hard), nil
}

// end brings the mesh up to the hosts, lets go of what the execution holds, and
// says how all came out.
func (e *execution) end(soft, hard context.Context) *Summary {
	e.mesh.finish(hard, e.behind())
	if !e.o.Rollback && !e.o.Run.Test && soft.Err() == nil {
		e.d.renewAuthorities(soft, e.toRenew())
	}
	e.leases.drop(hard)
	e.keep()
	return e.summary(soft)
}

// hosts lists what changes, in the order of the waves.
func (e *execution) hosts() []string {
	var all []string
	for _, w := range e.plan.Waves {
		all = append(all, w.Hosts...)
	}
	return all
}

// behind are the hosts that do not run what the spec says, now that the
// execution is over.
func (e *execution) behind() []string {
	if e.mesh == nil {
		return nil
	}
	return e.d.behind(e.plan, e.mesh.plan.modules, func(h *HostPlan) bool {
		r := e.result(h.Host)
		return h.Action == ActionUnchanged || r != nil && r.End == EndDeployed
	})
}

func (e *execution) stopping(soft context.Context) bool {
	if soft.Err() != nil {
		e.stop("interrupted")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stopped != ""
}

func (e *execution) stop(why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped == "" {
		e.stopped = why
	}
}

func (e *execution) set(r HostResult) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.results[r.Host] = &r
}

func (e *execution) result(h string) *HostResult {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.results[h]
}

// failures counts against max_failed: hosts that did not get to the new system
// for another reason than being away.
func (e *execution) failures() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, r := range e.results {
		switch r.End {
		case EndRolledBack, EndFailed, EndRefused, EndNeedsOperator, EndNoAnswer:
			n++
		}
	}
	return n
}

func (e *execution) anyReady() bool {
	for _, h := range e.hosts() {
		if e.result(h) == nil {
			return true
		}
	}
	return false
}

func (e *execution) planOf(h string) *HostPlan {
	i := slices.IndexFunc(e.plan.Hosts, func(p *HostPlan) bool { return p.Host == h })
	return e.plan.Hosts[i]
}
