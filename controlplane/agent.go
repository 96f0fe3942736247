package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/api"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/health"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// Agent is one host's.
type Agent struct {
	opts    Options
	host    string
	logger  *slog.Logger
	started time.Time

	watchers     *watchers
	problems     *problems
	files        *files
	poison       *poison
	trying       *trying
	nodes        *nodes
	live         *live
	documents    *documents
	certificates *certificates
	reach        *reach
	fleet        *fleet
	missing      *missing
	health       *health.Health
	proxy        *proxy
	guarded      *guarded
	server       *api.Server // nil without a socket
	scrape       *scrape
	drain        drain

	heard atomic.Bool   // another host was heard of since the start
	fresh atomic.Bool   // the catalog began anew: it has to be told who is alive
	wake  chan struct{} // something on this host changed: publish
	fetch chan struct{} // a document may be wanted

	life   context.Context // until Stop
	cancel context.CancelFunc
	work   sync.WaitGroup // all that runs here

	mu    sync.Mutex // guards what follows
	phase phase

	// The loop's own, and Start's before it.
	facts     facts
	published map[string]bool        // services
	ran       string                 // content of the run's file
	before    []ranHealthy           // of the run before this one
	levels    map[string]trust.Level // of leaves, by service
}

type phase int

const (
	fresh phase = iota
	running
	stopped
)

// ErrState is a call out of turn: Start twice, or Start after Stop.
var ErrState = errors.New("the agent is not in the state for that")

// New reads what is on disk, so that the agent can answer from it. It opens no
// connection. The facts of the host need not be there yet; the node certificate
// says which host it is.
func New(o Options) (*Agent, error) {
	o, err := o.complete()
	if err != nil {
		return nil, fmt.Errorf("make agent: %w", err)
	}
	a := &Agent{
		opts: o, host: o.NodeCert.Host, logger: o.Logger.With("host", o.NodeCert.Host), started: o.Clock.Now(),
		watchers: newWatchers(), levels: map[string]trust.Level{}, wake: make(chan struct{}, 1), fetch: make(chan struct{}, 1),
		missing: &missing{wake: make(chan struct{}, 1), hosts: map[string]string{}},
		facts: facts{
			host: watched{path: o.HostFile}, revoked: watched{path: o.RevokedFile}, system: o.System,
			now: &hostfacts.Facts{}, operators: newOperators(nil, nil),
		},
	}
	a.life, a.cancel = context.WithCancel(context.Background())
	a.problems = newProblems(o.Clock, a.watchers.tell)
	a.files = openFiles(o.StateDir, a.problems, a.logger)
	a.poison = loadPoison(a.files, o.Version, a.logger)
	var culprits []tryMark
	a.trying, culprits = openTrying(a.files, tryMark{Boot: o.Boot, Version: o.Version}, o.Failed)
	for _, c := range culprits {
		a.logger.Error("the last run of this agent ended while it took something, which is set aside", "what", c.What, "hash", c.Hash)
		a.poison.add(c.Hash)
	}
	a.nodes = loadNodes(o.NodeCert, a.files)
	a.nodes.rekey = a.rekey
	a.live = newLive(a.host, o.NodeKey, a.nodes, a.files, a.poison, o.Clock, a.logger)
	a.live.clocks = &clocks{problems: a.problems, ahead: map[string]sample{}}
	a.live.changed, a.live.push, a.live.unknown = a.onChanges, a.pushAll, a.missing.add
	a.reach = &reach{
		set: a.setLiveness, now: time.Now, run: a.work.Go, life: a.life, hosts: map[string]*reached{},
	}
	a.fleet = &fleet{agent: a, host: a.host, turn: newTurn()}
	a.fleet.setKeys(o.GossipKeys)
	a.scrape = newScrape(o.Network.Listen)
	a.proxy, a.guarded = newProxy(a), newGuarded(o.RuntimeDir)
	a.reach.dial = a.fleet.dial
	if a.certificates, err = openCertificates(a); err != nil {
		return nil, fmt.Errorf("make agent: %w", err)
	}
	shelf := &shelf{a.files}
	a.documents = &documents{
		files: a.files, shelf: shelf, poison: a.poison, trying: a.trying, clock: o.Clock, logger: a.logger,
		tell: a.watchers.tell, act: a.act, turn: newTurn(), judged: map[string]bool{}, refusals: newRefusals(),
	}
	_, err = a.facts.look(a.host)
	a.problems.check("facts", err, "nixmesh deploy --on "+a.host)
	a.proxy.setFacts(a.facts.now)
	a.documents.setFacts(a.facts.now.Fleet, a.facts.operators)
	a.nodes.setOperators(a.facts.operators)
	a.certificates.setRoots(roots(a.facts.now))
	a.documents.load()
	a.live.restore(a.trying)
	a.resume()
	a.makeHealth()
	return a, nil
}

func roots(f *hostfacts.Facts) string {
	if f.Mesh == nil {
		return ""
	}
	return f.Mesh.Roots
}

func (a *Agent) makeHealth() {
	before, ok := a.wasHealthy()
	if !ok {
		a.live.look(func(c *catalog.Catalog, _ *mesh.Config, _ time.Time) { before = previous(c, a.host, a.facts.now) })
	}
	a.health = health.New(health.Options{
		Run: a.opts.Run, CheckSockets: a.opts.CheckSockets, Cgroups: a.opts.Cgroups, NoWatch: a.opts.noWatch,
		Previous: before, Logger: a.logger, OnChange: a.poke,
	})
	a.health.Configure(a.facts.now.Instances, a.facts.now.Checks)
}

// poke lets the loop publish what changed on this host.
func (a *Agent) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Start begins to check, to answer on the socket and to take part in the fleet.
// It waits for nobody else, and returns when the agent answers. ctx bounds the
// start only.
func (a *Agent) Start(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase != fresh {
		return fmt.Errorf("start agent: %w", ErrState)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start agent: %w", context.Cause(ctx))
	}
	if err := a.health.Start(ctx); err != nil {
		return fmt.Errorf("start agent: %w", err)
	}
	if err := a.serve(ctx); err != nil {
		return errors.Join(fmt.Errorf("start agent: %w", err), a.health.Stop(ctx))
	}
	a.phase = running
	a.publish()
	a.proxy.start(a.life)
	a.work.Go(func() { a.undrain(false) }) // of an agent that died in a drain
	a.fleet.start(a.life)
	a.work.Go(func() { a.loop(a.life) })
	a.work.Go(func() { a.fetchLoop(a.life) })
	a.work.Go(func() { a.nodesLoop(a.life) })
	a.work.Go(func() { a.keysLoop(a.life) })
	a.work.Go(func() {
		if err := a.certificates.keeper.Run(a.life); err != nil {
			a.logger.Error("certificates are not renewed any more", "err", err)
			a.problems.set("keeper", err.Error(), "")
		}
	})
	a.logger.Info("agent started", "version", a.opts.Version, "epoch", a.live.number(), "document", a.oneLine())
	a.opts.Notify("READY=1\nSTATUS=" + a.oneLine())
	return nil
}

// Stop leaves the fleet, keeps what is known, and waits for everything that runs.
// It may be called twice, and without Start.
func (a *Agent) Stop(ctx context.Context) error {
	a.mu.Lock()
	before := a.phase
	a.phase = stopped
	a.mu.Unlock()
	if before == stopped {
		return nil
	}
	a.opts.Notify("STOPPING=1")
	var err error
	a.proxy.close() // first: what is seen of the fleet while leaving it is not for Envoy
	if before == running {
		a.watchers.end()
		a.fleet.stop(ctx)
		if a.server != nil {
			err = errors.Join(err, a.server.Stop(ctx))
		}
		err = errors.Join(err, a.health.Stop(ctx))
	}
	a.cancel()
	a.reach.stop()
	a.work.Wait()
	a.trying.done()
	a.keep()
	a.certificates.close(a.logger)
	a.logger.Info("agent stopped", "err", err)
	return err
}

// Run is Start, then Stop when the context ends, within stopTime.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	return a.Stop(stop)
}

// stopTime bounds how long an agent takes to stop: gossip says good-bye for two
// seconds at most, requests end, and the rest is quick.
const stopTime = 8 * time.Second
