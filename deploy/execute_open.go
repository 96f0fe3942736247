package deploy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/nixmesh/nixmesh/rollback"
)

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
	if !e.o.Run.Test {
		e.mesh = d.newMeshRun(e.plan)
	}
	if err := soft.Err(); err != nil {
		return fmt.Errorf("interrupted, and nothing was changed: %w", err)
	}
	e.stored, err = d.sign(soft, e.plan, e.mesh, e.o.Record)
	if err != nil {
		return err
	}
	e.mesh.keep()
	for _, r := range e.runs {
		r.stored = e.stored
	}
	// What is signed is also recorded, whoever interrupts it: from here on it may
	// come into force.
	if kept := e.recordOnLedger(hard); kept == 0 && len(e.runs) == 0 {
		return &Error{Exit: ExitFailed, Err: fmt.Errorf("no host keeps the record of release %d; nothing was published", e.plan.Number), Next: "nixmesh status"}
	}
	return d.Local.Write(e.stored)
}

// recordOnLedger stores the record on the ledger hosts that the plan leaves out:
// the next number is taken from there. The hosts of the plan get it before their
// first switch. A host that does not take it is told of. Where no host is
// switched and the ledger hosts are away, all that answer keep it. The result is
// how many do.
func (e *execution) recordOnLedger(ctx context.Context) int {
	req := rollback.RecordRequest{Record: e.stored.Raw, Keep: e.o.Run.Keep}
	others := slices.DeleteFunc(slices.Clone(e.plan.ledger), func(host string) bool { return e.runs[host] != nil })
	if len(e.runs)+len(others) == 0 {
		others = slices.Sorted(maps.Keys(e.plan.carried))
		for _, h := range e.plan.Hosts {
			if h.Action == ActionUnchanged {
				others = append(others, h.Host)
			}
		}
	}
	var kept atomic.Int64
	each(others, len(others), func(host string) {
		l, err := e.d.link(host)
		if err == nil {
			err = l.insist(ctx, callTimeout, rollback.VerbRecord, nil, req, nil)
		}
		if err != nil {
			e.d.note(host, "does not keep the record of release %d: %s", e.stored.Release.Number, plain(host, err))
			return
		}
		kept.Add(1)
	})
	return int(kept.Load())
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
