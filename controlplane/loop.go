package controlplane

import (
	"context"
	"errors"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/trust"
)

const (
	tickEvery  = time.Second
	judgeEvery = 30 * time.Second
)

// What changed is on disk after snapshotSoon, for a host that loses its power and
// comes back before the others. A large fleet's snapshot takes its time: then less
// often, so that it takes one part in snapshotShare of the time, up to snapshotLate:
// changes wait while it is made (BenchmarkSnapshot).
const (
	snapshotSoon  = 2 * time.Second
	snapshotLate  = 30 * time.Second
	snapshotShare = 300
)

// loop is what this agent does again and again.
func (a *Agent) loop(ctx context.Context) {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	saved, judged, pause := time.Now(), time.Now(), snapshotSoon
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
			a.publish()
			continue
		case <-ticker.C:
		}
		a.lookAtFacts()
		a.tick()
		a.trying.settle()
		if time.Since(judged) >= judgeEvery {
			judged = time.Now()
			if d := a.documents.live.Load(); d != nil {
				a.live.clocks.judge(len(d.document.Config.Hosts) - 1)
			}
		}
		if began := time.Now(); began.Sub(saved) >= pause {
			a.keep()
			saved = time.Now()
			pause = min(max(snapshotSoon, snapshotShare*saved.Sub(began)), snapshotLate)
		}
		a.files.retry()
		a.opts.Notify("WATCHDOG=1\nSTATUS=" + a.oneLine())
	}
}

// tick lets a second pass for all parts.
func (a *Agent) tick() {
	if a.fresh.Swap(false) {
		a.reach.again()
	}
	_ = a.live.do(false, func(c *catalog.Catalog, now time.Time) error { // the work cannot fail
		c.Tick(now)
		return nil
	})
	a.reach.tick()
	a.keepRun()
	a.fleet.tick()
	a.openMetrics()
	a.guarded.look(a.problems, a.proxy.envoy() != nil)
	a.publish()
	a.certificates.open(a.problems, a.opts.StateDir)
	a.watchCerts()
}

// keep writes what changed to disk.
func (a *Agent) keep() {
	a.live.save()
	a.nodes.save()
}

// lookAtFacts acts on facts that changed, without a restart.
func (a *Agent) lookAtFacts() {
	changed, err := a.facts.look(a.host)
	a.problems.check("facts", err, "nixmesh deploy --on "+a.host)
	if !changed {
		return
	}
	a.logger.Info("facts of this host changed", "toplevel", a.facts.toplevel)
	a.proxy.setFacts(a.facts.now)
	a.documents.setFacts(a.facts.now.Fleet, a.facts.operators)
	a.nodes.setOperators(a.facts.operators)
	a.certificates.setRoots(roots(a.facts.now))
	a.documents.with(func(d *inForce) {
		a.problems.check("roots", a.certificates.configure(d.document.Config), "")
	})
	a.health.Configure(a.facts.now.Instances, a.facts.now.Checks)
	a.publish()
	a.wantDocuments()
}

// act makes the agent act on a document: keys first, then what they are needed
// for.
func (a *Agent) act(d *inForce) {
	config := d.document.Config
	err := a.nodes.configure(config)
	next := "nixmesh host trust " + a.host
	if errors.Is(err, trust.ErrNodeOld) { // its clock was slow when it lost what it had before
		next = "timedatectl; then, with a right clock: rm /var/lib/nixmesh/node/node.cert && systemctl restart nixmesh-nodekey nixmesh-agent"
	}
	a.problems.check("node", err, next)
	a.live.configure(config)
	a.problems.check("roots", a.certificates.configure(config), "")
	a.fleet.configure(config)
	a.proxy.all()
	a.poke()
}

// rekey is called when another key of a host counts.
func (a *Agent) rekey(host string, revoked bool) {
	a.logger.Info("another node key of a host counts", "of", host, "revoked", revoked)
	_ = a.live.do(false, func(c *catalog.Catalog, now time.Time) error { // the work cannot fail
		c.Rekey(now, host, revoked)
		return nil
	})
	if s := a.fleet.sync.Load(); s != nil {
		s.Rekeyed(host)
	}
}

func (a *Agent) setLiveness(host string, state catalog.Liveness) {
	_ = a.live.do(false, func(c *catalog.Catalog, now time.Time) error { // the work cannot fail
		c.SetLiveness(now, host, state)
		return nil
	})
}

// wantDocuments lets the fetcher look again.
func (a *Agent) wantDocuments() {
	select {
	case a.fetch <- struct{}{}:
	default:
	}
}

// onChanges takes what changed in the catalog. It is called under the catalog's
// lock, and only leaves notes for others.
func (a *Agent) onChanges(changes []catalog.Change, all bool) {
	if all {
		a.fresh.Store(true)
		a.proxy.all()
		a.wantDocuments()
		a.poke()
	}
	for _, change := range changes {
		a.proxy.note(change)
		switch change.What {
		case catalog.HostChanged:
			if h := a.live.catalog.Host(change.Host); h != nil && change.Host != a.host && a.documents.wants(h.Document) {
				a.wantDocuments()
			}
		case catalog.OverrideChanged:
			a.poke()
		}
		if a.watchers.any() {
			a.tellChange(change)
		}
	}
}
