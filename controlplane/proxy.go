package controlplane

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/controlplane/xds/delta"
	"github.com/nixmesh/nixmesh/hostfacts"
)

// proxy tells this host's Envoy what to do. Everything is built anew when the
// configuration, the facts, a certificate or an override changed; a change of the
// catalog costs the assignments of the services concerned, and nothing else.
type proxy struct {
	agent    *Agent
	logger   *slog.Logger
	server   *delta.Server
	compute  func(in *xds.Input) *xds.Output // xds.Build
	door     *door                           // nil without a socket: nobody is served
	files    *proxyFiles
	admin    *admin
	began    time.Time
	outlived bool                            // an agent ran before this one in this boot: Envoy may have been running since
	wake     chan struct{}                   // there are notes
	end      context.CancelFunc              // of what start began
	facts    atomic.Pointer[hostfacts.Facts] // nil before they were read

	mu       sync.Mutex                // guards what follows
	whole    bool                      // these three are notes of what changed: everything
	services map[string]bool           // whose endpoints changed
	hosts    map[string]bool           // all of whose services changed
	working  bool                      // notes were taken, and are being acted on
	set      map[xds.Key]*xds.Resource // that Envoy was told
	found    []agentapi.ProxyProblem   // what the last build could not do
	version  int64                     // of the document that was built last
	held     string                    // why nothing is built
	taking   taking                    // calls
	acting   acting                    // on a document
	copies   map[string]bool           // whether Envoy has the certificate of which this host has none, as it said last

	// Of the goroutine that builds.
	given bool     // the first set was given
	now   *scope   // of the last build, nil before the first
	built *inForce // document of the last build
	tried string   // hash of the document that was to be built last

	assumed map[string]bool // copies, as the last build took them
	grace   *time.Timer     // callers may be told then that Envoy takes no calls

	// Of the same goroutine, as it tells people.
	open            map[string]agentapi.Problem // problems that were told, by key
	lost, unsettled time.Time                   // since when; zero = all is well
}

func newProxy(a *Agent) *proxy {
	now, kept := a.opts.Clock.Now(), ""
	if a.opts.RuntimeDir != "" {
		kept = filepath.Join(a.opts.RuntimeDir, "agent")
	}
	return &proxy{
		agent: a, logger: a.logger, server: delta.New(delta.Options{Logger: a.logger}), compute: xds.Build, admin: newAdmin(a.opts.RuntimeDir, a.opts.bounds.admin),
		files: newProxyFiles(a.opts.Clock.Now, kept, a.logger),
		began: now, taking: taking{since: now}, wake: make(chan struct{}, 1), end: func() {}, services: map[string]bool{}, hosts: map[string]bool{},
		copies: map[string]bool{}, assumed: map[string]bool{},
	}
}

// all notes that everything may be different.
func (p *proxy) all() {
	p.mu.Lock()
	p.whole = true
	p.mu.Unlock()
	p.poke()
}

// setFacts takes what this host knows of itself.
func (p *proxy) setFacts(f *hostfacts.Facts) {
	if f.Host != "" {
		p.facts.Store(f)
		p.all()
	}
}

// note takes a change of the catalog, under its lock: what it means is looked at
// by the goroutine that builds.
func (p *proxy) note(change catalog.Change) {
	p.mu.Lock()
	switch change.What {
	case catalog.ServiceChanged:
		p.services[change.Name] = true
		p.whole = p.whole || change.Host == p.agent.host && p.copied(change.Name)
	case catalog.HostChanged, catalog.StandingChanged:
		p.hosts[change.Host] = true
	case catalog.OverrideChanged:
		p.whole = true // a share, a fault or a drain: milliseconds, and people write them
	default:
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	p.poke()
}

func (p *proxy) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take gives the notes, and begins new ones.
func (p *proxy) take() (whole bool, services, hosts map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	whole, services, hosts = p.whole, p.services, p.hosts
	p.whole, p.services, p.hosts, p.working = false, map[string]bool{}, map[string]bool{}, true
	return whole, services, hosts
}

// start serves Envoy and builds for it until the context ends. Without a socket
// there is nobody to serve.
func (p *proxy) start(ctx context.Context) {
	if p.door == nil {
		return
	}
	ctx, p.end = context.WithCancel(ctx)
	p.agent.work.Go(func() { p.run(ctx) })
	p.agent.work.Go(func() {
		if err := p.server.Serve(ctx, p.door); err != nil && ctx.Err() == nil {
			p.logger.Error("envoy is not served any more", "err", err)
			p.doorFailed(err)
		}
	})
}

// pollEvery is how often files are looked at, and what waits for time.
const pollEvery = time.Second

// run builds until the context ends.
func (p *proxy) run(ctx context.Context) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	p.grace = time.NewTimer(awayTime)
	defer p.grace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-p.grace.C:
			p.agent.poke()
			continue
		case <-p.server.Changed():
			p.look(ctx)
			continue
		case <-ticker.C:
			if p.files.changed() {
				p.all()
			}
			p.look(ctx)
		}
		p.work()
	}
}

// look acts on what Envoy has and says. Of the end of this agent nothing follows.
func (p *proxy) look(ctx context.Context) {
	if ctx.Err() == nil {
		p.seeTaking(p.tell())
		p.seeActing()
		p.seeCopies()
	}
}

// work acts on the notes. The first set waits until there is a configuration and
// the facts, so that an Envoy that outlived this agent never sees less than it
// has: a server that was told nothing answers nothing.
func (p *proxy) work() {
	document, facts := p.agent.documents.live.Load(), p.facts.Load()
	held := ""
	switch {
	case document == nil:
		held = errNoDocument.Error()
	case facts == nil || facts.Mesh == nil:
		held = "the facts of this host are not known"
	case p.hollow(document.document.Config, facts):
		held = "what the other hosts run is not known yet"
	case p.behind(document.document.Config, facts):
		held = "the other hosts are being asked what changed"
	}
	p.mu.Lock()
	p.held = held
	p.mu.Unlock()
	if held != "" {
		return
	}
	whole, services, hosts := p.take()
	if whole || !p.given {
		p.build(document, facts)
	} else {
		p.update(services, hosts)
	}
	p.mu.Lock()
	p.working = false
	p.mu.Unlock()
	p.seeActing()
}
