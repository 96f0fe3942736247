package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	gosync "sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/gossip"
	"github.com/nixmesh/nixmesh/controlplane/sync"
	"github.com/nixmesh/nixmesh/mesh"
)

// leaveTime bounds how long gossip and exchange may take to stop.
const leaveTime = 5 * time.Second

// fleet is this host's part in the fleet: gossip and exchange, which begin with
// the first mesh configuration that names this host, and begin anew at another
// address. What does not start, since an address or a port is not there yet, is
// tried again every second.
type fleet struct {
	agent *Agent
	host  string

	turn turn // guards what follows; starting and stopping take their time
	life context.Context
	mesh string     // name of the mesh, for gossip
	told string     // the name that gossip runs with
	at   netip.Addr // where the exchange listens

	mu        gosync.Mutex          // guards what follows
	own       netip.Addr            // not valid: the configuration does not name this host
	addresses map[string]netip.Addr // of all hosts

	// What runs, nil while it does not. Calls of gossip and exchange, for which
	// their Stop waits, read these without mu.
	gossip atomic.Pointer[gossip.Gossip]
	sync   atomic.Pointer[sync.Sync]
	keys   atomic.Pointer[[][]byte] // of gossip, the first encrypts
}

// configure takes the hosts of a mesh configuration.
func (f *fleet) configure(config *mesh.Config) {
	f.turn.take()
	defer f.turn.give()
	f.mesh = meshName(config)
	addresses := make(map[string]netip.Addr, len(config.Hosts))
	for name, h := range config.Hosts {
		if address, err := netip.ParseAddr(h.Address); err == nil {
			addresses[name] = address.Unmap()
		}
	}
	f.mu.Lock()
	f.addresses, f.own = addresses, addresses[f.host]
	f.mu.Unlock()
	f.agent.reach.setHosts(f.ports(f.agent.opts.SyncPort, false))
	f.apply()
}

// meshName tells the packets of one mesh from those of another, which may have
// had the same addresses.
func meshName(config *mesh.Config) string {
	if config.TrustDomain != "" {
		return config.TrustDomain
	}
	return config.Fleet
}

// ports are the addresses of the hosts with a port.
func (f *fleet) ports(port uint16, own bool) map[string]netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[string]netip.AddrPort, len(f.addresses))
	for name, address := range f.addresses {
		if own || name != f.host {
			out[name] = netip.AddrPortFrom(address, port)
		}
	}
	return out
}

// address is this host's; not valid where the configuration does not name it.
func (f *fleet) address() netip.Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.own
}

// tick starts what could not be started before.
func (f *fleet) tick() {
	if f.sync.Load() != nil && f.gossip.Load() != nil || !f.turn.try() {
		return
	}
	defer f.turn.give()
	f.apply()
}

// apply makes what runs fit what is configured. It is this call's turn.
func (f *fleet) apply() {
	if f.life == nil || f.life.Err() != nil || f.mesh == "" {
		return
	}
	problems := f.agent.problems
	if !f.address().IsValid() {
		f.stopBoth(f.life)
		problems.set("named", "the mesh configuration does not name this host: its agent takes no part", "nixmesh mesh apply")
		return
	}
	problems.clear("named")
	err := f.applySync()
	problems.check("sync", err, f.next(err, f.agent.opts.SyncPort))
	err = f.applyGossip()
	problems.check("gossip", err, f.next(err, f.agent.opts.GossipPort))
}

// next is what to do where this host cannot take part: see who has the port, or
// give the host the address and the key that the configuration means.
func (f *fleet) next(err error, port uint16) string {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Sprintf("ss -tulnp sport = :%d", port)
	}
	return "nixmesh deploy --on " + f.host
}

func (f *fleet) applySync() error {
	own := f.address()
	if f.sync.Load() != nil && f.at != own {
		f.stopSync(f.life)
	}
	if s := f.sync.Load(); s != nil {
		s.SetHosts(f.ports(f.agent.opts.SyncPort, false))
		return nil
	}
	s, err := sync.New(f.agent.syncOptions(netip.AddrPortFrom(own, f.agent.opts.SyncPort)))
	if err != nil {
		return err
	}
	s.SetHosts(f.ports(f.agent.opts.SyncPort, false))
	if err := s.Start(f.life); err != nil {
		return fmt.Errorf("take part in the exchange between agents: %w", err)
	}
	f.at = own
	f.sync.Store(s)
	return nil
}

func (f *fleet) applyGossip() error {
	members := f.ports(f.agent.opts.GossipPort, true)
	if f.gossip.Load() != nil && f.told != f.mesh {
		f.stopGossip(f.life) // a new CA: who starts from now on speaks in that name
	}
	if g := f.gossip.Load(); g != nil {
		err := g.SetMembers(members)
		if !errors.Is(err, gossip.ErrMoved) {
			return err
		}
		f.stopGossip(f.life)
	}
	keys := f.gossipKeys()
	if len(keys) == 0 {
		return errors.New("this host has no gossip key: nobody tells it who is alive")
	}
	g, err := gossip.New(gossip.Options{
		Host: f.host, Mesh: f.mesh, Members: members, Keys: keys,
		Meta:    f.agent.gossipMeta(),
		OnEvent: f.agent.onGossip, Logger: f.agent.logger, Network: f.agent.opts.Network,
	})
	if err != nil {
		return err
	}
	if err := g.Start(f.life); err != nil {
		return fmt.Errorf("take part in gossip: %w", err)
	}
	f.told = f.mesh
	f.gossip.Store(g)
	return nil
}

func (f *fleet) stopSync(ctx context.Context) {
	s := f.sync.Load()
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		f.agent.logger.Warn("exchange not stopped in time", "err", err)
	}
	f.sync.Store(nil)
}

func (f *fleet) stopGossip(ctx context.Context) {
	g := f.gossip.Load()
	if g == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	if err := g.Stop(ctx); err != nil {
		f.agent.logger.Info("gossip left without a word", "err", err)
	}
	f.gossip.Store(nil)
}

func (f *fleet) stopBoth(ctx context.Context) {
	f.stopGossip(ctx)
	f.stopSync(ctx)
}

// start lets the fleet begin, now or with the first configuration.
func (f *fleet) start(ctx context.Context) {
	f.turn.take()
	defer f.turn.give()
	f.life = ctx
	f.apply()
}

// stop leaves the fleet.
func (f *fleet) stop(ctx context.Context) {
	f.turn.take()
	defer f.turn.give()
	f.stopBoth(ctx)
	f.life = nil
}

// setKeys lets gossip speak with other keys, the first of which encrypts. Gossip
// that runs goes on: nobody misses this host for it.
func (f *fleet) setKeys(keys [][]byte) {
	f.turn.take()
	defer f.turn.give()
	f.keys.Store(&keys)
	g := f.gossip.Load()
	if g == nil {
		f.apply()
		return
	}
	if err := g.SetKeys(keys); err != nil {
		f.agent.logger.Error("gossip keys not changed", "err", err)
	}
}

func (f *fleet) gossipKeys() [][]byte {
	if keys := f.keys.Load(); keys != nil {
		return *keys
	}
	return nil
}

// dial opens a connection from this host's address.
func (f *fleet) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return f.agent.opts.Network.Dial(ctx, f.address(), to)
}

// errAlone is a call before the exchange runs.
var errAlone = errors.New("this agent takes no part in the exchange yet")

// call asks a handler of another host.
func (a *Agent) call(ctx context.Context, timeout time.Duration, host, method string, body []byte) ([]byte, error) {
	s := a.fleet.sync.Load()
	if s == nil {
		return nil, errAlone
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return s.Call(ctx, host, method, body)
}

// nudge exchanges with a host now.
func (a *Agent) nudge(host string) {
	if s := a.fleet.sync.Load(); s != nil {
		s.Nudge(host)
	}
}

// pushAll tells a change of this host to its peers.
func (a *Agent) pushAll(d *catalog.Delta) {
	if s := a.fleet.sync.Load(); s != nil {
		s.Push(d)
	}
}

// onGossip takes what gossip says of a host.
func (a *Agent) onGossip(e gossip.Event) {
	host := e.Member.Name
	if e.Kind == gossip.Removed {
		return
	}
	a.reach.hear(host, e.Member.State)
	if e.Kind == gossip.Joined || e.Kind == gossip.Updated {
		a.heard.Store(true)
		a.nudge(host)
	}
	a.tellHost(host, string(e.Member.State), "")
}
