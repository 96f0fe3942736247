package controlplane

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/gossip"
)

// A dead agent is no dead host: services run on when their host's agent was
// killed, is being replaced, or cannot take part in gossip. So before a host that
// gossip misses counts as dead, this agent opens a connection to the port where
// agents talk. Whoever answers there, be it to refuse, is a machine that is up
// with its network, and its endpoints stay as they were; their callers' proxies
// see by themselves whether the services answer. No answer at all leaves the word
// to gossip.
const (
	probeTimeout = 1500 * time.Millisecond // one lost packet costs a second
	probeEvery   = 2 * time.Second         // of a host that answered last time
	probeLonger  = 10 * time.Second        // of one that did not
	probesAtOnce = 32
	probeRoom    = 10 * time.Millisecond // for each host of the fleet, so that a large one is not probed all the time
)

// reach knows which hosts are up, agent or not.
type reach struct {
	dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	set  func(host string, state catalog.Liveness)
	now  func() time.Time
	run  func(work func()) // in a goroutine that the agent waits for
	life context.Context

	mu    sync.Mutex // guards what follows
	hosts map[string]*reached
	busy  int
}

type reached struct {
	address netip.AddrPort // of the exchange
	gossip  gossip.State
	probing bool
	answers bool      // the last probe, or that there was one
	probed  bool      // since gossip began to miss the host
	next    time.Time // when it is probed again
	told    catalog.Liveness
}

// setHosts takes the addresses of the others.
func (r *reach) setHosts(addresses map[string]netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.hosts {
		if _, ok := addresses[name]; !ok {
			delete(r.hosts, name)
		}
	}
	for name, address := range addresses {
		if h := r.hosts[name]; h == nil || h.address != address {
			r.hosts[name] = &reached{address: address, gossip: gossip.Unknown, next: r.now().Add(probeEvery)}
		}
	}
}

// hear takes what gossip says of a host.
func (r *reach) hear(host string, state gossip.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.hosts[host]
	if h == nil || h.gossip == state {
		return
	}
	if h.gossip == gossip.Alive || state == gossip.Alive {
		h.probed = false
	}
	h.gossip, h.next = state, r.now()
	r.judge(host, h)
	r.probe(host, h)
}

// stop makes sure that no probe begins any more. The life has ended.
func (r *reach) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.hosts)
}

// tick probes hosts whose time has come.
func (r *reach) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, h := range r.hosts {
		r.probe(name, h)
	}
}

// again tells everything once more: the catalog began anew.
func (r *reach) again() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, h := range r.hosts {
		h.told = catalog.Unheard
		r.judge(name, h)
	}
}

// answers says whether a host that gossip misses is up.
func (r *reach) answers(host string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.hosts[host]
	return h != nil && h.gossip != gossip.Alive && h.probed && h.answers
}

// judge tells the catalog what is known of a host. mu is held.
func (r *reach) judge(host string, h *reached) {
	state := h.told
	switch {
	case h.gossip == gossip.Alive || h.probed && h.answers:
		state = catalog.Alive
	case !h.probed:
		// The probe that is under way decides.
	case h.gossip == gossip.Suspect:
		state = catalog.Suspect
	case h.gossip == gossip.Unknown:
		// Nobody ever spoke of it: the catalog gives it some time.
	default:
		state = catalog.Dead
	}
	if state != h.told {
		h.told = state
		r.set(host, state)
	}
}

// probe asks a host that gossip misses for a sign of life. mu is held.
func (r *reach) probe(host string, h *reached) {
	if h.gossip == gossip.Alive || h.probing || r.busy >= probesAtOnce || h.next.After(r.now()) || r.life.Err() != nil {
		return
	}
	h.probing = true
	r.busy++
	r.run(func() {
		answers := r.ask(h.address)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.busy--
		h.probing, h.probed, h.answers = false, true, answers
		wait := probeLonger
		if answers || h.gossip == gossip.Suspect {
			wait = probeEvery
		}
		h.next = r.now().Add(max(wait, time.Duration(len(r.hosts))*probeRoom))
		if r.hosts[host] == h {
			r.judge(host, h)
		}
	})
}

func (r *reach) ask(to netip.AddrPort) bool {
	ctx, cancel := context.WithTimeout(r.life, probeTimeout)
	defer cancel()
	c, err := r.dial(ctx, to)
	if err == nil {
		_ = c.Close() // it answered
		return true
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
