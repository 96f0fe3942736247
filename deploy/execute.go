package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/rollback"
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
	id      string
	started time.Time

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
	e.prepare(soft)
	if e.failures() > d.Fleet.Rollout.MaxFailed {
		e.stop("a host could not be prepared")
	}
	if !e.anyReady() || e.failures() > d.Fleet.Rollout.MaxFailed {
		e.abandon(hard)
		return e.summary(soft), nil
	}
	if o.Rollback {
		e.cascade(soft, hard)
	} else {
		e.waves(soft, hard)
	}
	e.abandon(hard)
	e.leases.drop(hard)
	e.keep()
	return e.summary(soft), nil
}

// hosts lists what changes, in the order of the waves.
func (e *execution) hosts() []string {
	var all []string
	for _, w := range e.plan.Waves {
		all = append(all, w.Hosts...)
	}
	return all
}

// open takes the leases (ledger first, then the hosts' in name order) and signs
// the record.
func (e *execution) open(soft, hard context.Context) error {
	d := e.d
	e.leases.keep(hard)
	if err := d.openLedger(soft, e.leases, e.plan, e.id, e.o.WaitLock); err != nil {
		return err
	}
	hosts := slices.Sorted(slices.Values(e.hosts()))
	for _, h := range hosts {
		l, err := d.link(h)
		if err != nil {
			return err
		}
		e.runs[h] = e.newRun(e.planOf(h), l, e.id, nil)
	}
	err := e.takeHosts(soft, hosts)
	if err != nil {
		return err
	}
	if e.leases.waited {
		return &Error{Exit: ExitRefused, Err: ErrMoved, Next: "nixmesh plan"}
	}
	e.stored, err = d.sign(soft, e.plan, e.o.Record)
	if err != nil {
		return err
	}
	for _, r := range e.runs {
		r.stored = e.stored
	}
	e.recordOnLedger(soft)
	return d.Local.Write(e.stored)
}

// recordOnLedger stores the record on the ledger hosts that the plan leaves out:
// the next number is taken from there. The hosts of the plan get it before their
// first switch. A host that does not take it is told of.
func (e *execution) recordOnLedger(ctx context.Context) {
	req := rollback.RecordRequest{Record: e.stored.Raw, Keep: e.o.Run.Keep}
	others := slices.DeleteFunc(slices.Clone(e.plan.ledger), func(host string) bool { return e.runs[host] != nil })
	each(others, len(others), func(host string) {
		l, err := e.d.link(host)
		if err == nil {
			err = l.insist(ctx, callTimeout, rollback.VerbRecord, nil, req, nil)
		}
		if err != nil {
			e.d.note(host, "does not keep the record of release %d: %s", e.stored.Release.Number, plain(host, err))
		}
	})
}

// takeHosts takes the hosts' leases: at once, as who holds the ledger has few
// rivals and nobody waits; in name order where this deploy waits for others, so
// that two that wait never hold what the other wants.
func (e *execution) takeHosts(soft context.Context, hosts []string) error {
	width := len(hosts)
	if e.o.WaitLock > 0 {
		width = 1
	}
	errs := make([]error, len(hosts))
	each(hosts, width, func(h string) {
		r := e.runs[h]
		if r.plan.Action == ActionFirst {
			return // its helper comes with the copy
		}
		_, err := e.leases.take(soft, r.link, leaseRun, e.id, e.o.WaitLock)
		if lost(err) {
			e.set(r.finish(EndUnreachable, plain(h, err)))
			return
		}
		errs[slices.Index(hosts, h)] = err
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// prepare copies to all hosts and roots there, before the first switch.
func (e *execution) prepare(soft context.Context) {
	var todo []string
	for _, h := range e.hosts() {
		if e.result(h) == nil {
			todo = append(todo, h)
		}
	}
	each(todo, e.width(len(todo)), func(h string) {
		r := e.runs[h]
		r.started = e.d.now()
		if soft.Err() != nil {
			e.set(r.finish(EndNotStarted, "interrupted"))
			return
		}
		err := e.signed(soft, r)
		if err == nil {
			err = r.prepare(soft, e.o.Rollback)
		}
		switch {
		case err == nil:
		case soft.Err() != nil:
			e.set(r.finish(EndNotStarted, "interrupted"))
		default:
			e.prepareFailed(r, err)
		}
	})
}

// prepareFailed sorts a failure before the switch.
func (e *execution) prepareFailed(r *hostRun, err error) {
	text := plain(r.plan.Host, err)
	r.fail(text, nil)
	if next := nextOf(err); next != "" {
		e.d.note(r.plan.Host, "%s", next)
	}
	var refused *RefusedError
	var own *Error
	switch {
	case lost(err):
		e.set(r.finish(EndUnreachable, text))
	case errors.As(err, &own) && own.Exit == ExitRefused, errors.As(err, &refused) && refused.Status == int(ExitRefused):
		e.set(r.finish(EndRefused, text))
	default:
		e.set(r.finish(EndFailed, text))
	}
}

// signed gets the signature of a run's toplevel: made here where it was built,
// over values of the host's own store where it is rooted there already.
func (e *execution) signed(ctx context.Context, r *hostRun) error {
	if !e.o.Rollback {
		sigs, err := e.d.Store.SignClosure(ctx, r.plan.New)
		r.sigs = sigs
		return err
	}
	return r.signThere(ctx)
}

func (r *hostRun) signThere(ctx context.Context) error {
	info := r.plan.info
	if info == nil {
		read, err := readPathInfo(ctx, r.link.shell, r.plan.New)
		if err != nil {
			return err
		}
		info = &read
	}
	sig, err := r.d.SignNix(*info)
	r.sigs = []string{sig}
	return err
}

func (e *execution) width(hosts int) int {
	if e.o.Rollback {
		return max(1, hosts)
	}
	if e.o.Parallel > 0 {
		return e.o.Parallel
	}
	return atOnce(e.d.Fleet.Rollout, hosts)
}

// waves switches the prepared hosts, wave after wave.
func (e *execution) waves(soft, hard context.Context) {
	waves := e.plan.Waves
	for i, w := range waves {
		if e.stopping(soft) {
			break
		}
		e.d.emit(Event{Kind: KindWave, Wave: i + 1, Waves: len(waves), Detail: w.Name, Hosts: w.Hosts, Number: e.plan.Number})
		e.wave(soft, hard, w.Hosts)
		if e.failures() > e.d.Fleet.Rollout.MaxFailed {
			e.onFail(hard, i)
			break
		}
		if soak := e.d.Fleet.Rollout.Soak; soak > 0 && i+1 < len(waves) {
			e.d.note("", "soaking for %s", soak)
			select {
			case <-soft.Done():
			case <-time.After(soak):
			}
		}
	}
}

// wave runs the hosts of one wave, as many at once as rollout and services
// allow. Hosts that are under way when it stops are followed to their end.
func (e *execution) wave(soft, hard context.Context, hosts []string) {
	var todo []string
	for _, h := range hosts {
		if e.result(h) == nil {
			todo = append(todo, h)
		}
	}
	width := e.width(len(hosts))
	ledger := LedgerHosts(e.d.Fleet)
	var busy []string
	done := make(chan string)
	for len(todo) > 0 || len(busy) > 0 {
		stop := e.stopping(soft) || e.failures() > e.d.Fleet.Rollout.MaxFailed
		for i := 0; i < len(todo) && len(busy) < width && !stop; {
			h := todo[i]
			if !mayStart(e.d.Fleet, ledger, h, busy) {
				i++
				continue
			}
			todo = slices.Delete(todo, i, i+1)
			busy = append(busy, h)
			go func() { // wave waits for it through done
				e.set(e.runs[h].perform(hard))
				done <- h
			}()
		}
		if len(busy) == 0 {
			return
		}
		h := <-done
		busy = slices.DeleteFunc(busy, func(b string) bool { return b == h })
	}
}

// abandon ends the runs that were prepared and not performed, under the leases.
func (e *execution) abandon(hard context.Context) {
	var left []string
	for h, r := range e.runs {
		if r.rooted {
			left = append(left, h)
		}
	}
	why := fmt.Sprintf("release %d ended before this host was started", e.plan.Number)
	each(left, len(left), func(h string) { e.runs[h].abandon(hard, why) })
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
