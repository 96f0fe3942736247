package sync

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/internal/refusal"
	"github.com/nixmesh/nixmesh/trust"
)

// farewell bounds how long Stop waits for peers to take what was pushed to them.
const farewell = 500 * time.Millisecond

// ErrState is a call out of turn: Start twice, or what needs a Sync that runs.
var ErrState = errors.New("the exchange is not in the state for that")

// Sync is this host's part in the exchange.
type Sync struct {
	opts      Options
	instance  uint64 // of this Sync, so that peers know a restarted agent
	refusals  *refusal.Counter[Reason]
	counters  counters
	transport *http.Transport
	exchanges chan struct{} // one for each exchange that is served at once
	calls     chan struct{} // one for each call that is served at once

	life   context.Context // until Stop
	cancel context.CancelFunc
	work   sync.WaitGroup // all that runs
	done   chan struct{}  // closed when Stop is through

	mu        sync.Mutex // guards what follows
	phase     phase
	peers     map[string]*peer
	order     []*peer                  // of peers, by name
	ranking   []*peer                  // of peers, those first that this host prefers
	places    map[netip.Addr]int       // how many hosts are at an address
	opening   map[netip.Addr]int       // connections from an address that have proved nothing yet
	leaving   map[string]chan struct{} // closed when what keeps the connection to a host has ended
	last      uint64                   // number of the newest connection
	comparing int                      // exchanges that this host has begun
	mixed     bool                     // two hosts have no protocol in common
	listener  net.Listener
	server    *http.Server
}

type phase int

const (
	fresh phase = iota
	running
	stopping
)

// New checks the options. It opens nothing.
func New(opts Options) (*Sync, error) {
	opts, err := opts.complete()
	if err != nil {
		return nil, err
	}
	s := &Sync{
		opts: opts, instance: rand.Uint64(),
		refusals:  refusal.New[Reason](opts.Logger, "exchange refused"),
		exchanges: make(chan struct{}, maxExchanges),
		calls:     make(chan struct{}, maxServed),
		done:      make(chan struct{}),
		peers:     map[string]*peer{},
		places:    map[netip.Addr]int{},
		opening:   map[netip.Addr]int{},
		leaving:   map[string]chan struct{}{},
	}
	s.transport = newTransport()
	return s, nil
}

// Start listens and exchanges from now on; it waits for nobody. It may be called
// once.
func (s *Sync) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != fresh {
		return fmt.Errorf("%w: start", ErrState)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	listener, err := s.opts.Network.Listen(s.opts.Listen)
	if err != nil {
		return fmt.Errorf("listen for other agents: %w", err)
	}
	s.phase, s.listener = running, listener
	s.life, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	proven := newHandoff(s.life, listener.Addr())
	s.server = s.newServer()
	s.work.Go(func() { s.accept(s.life, listener, proven) })
	s.work.Go(func() {
		if err := s.server.Serve(proven); !errors.Is(err, http.ErrServerClosed) {
			s.opts.Logger.Error("exchange serves no more", "err", err)
		}
	})
	s.work.Go(func() { s.compareAll(s.life) })
	s.want()
	return nil
}

// Addr is where this host listens, once Start has returned.
func (s *Sync) Addr() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return netip.AddrPort{}
	}
	return addrPort(s.listener.Addr())
}

// Stop lets peers take what was pushed, for half a second at most, ends all
// connections and waits for everything that runs, at most as long as ctx lasts.
// Handlers and OnPeer must not call it. Stop without Start is fine, and so is a
// second Stop.
func (s *Sync) Stop(ctx context.Context) error {
	s.mu.Lock()
	before := s.phase
	s.phase = stopping
	links := s.links()
	s.mu.Unlock()
	switch before {
	case fresh:
		close(s.done)
		return nil
	case running:
		s.takeLeave(ctx, links)
		s.close()
		go func() { // ends with the last of what runs
			s.work.Wait()
			close(s.done)
		}()
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop the exchange: %w", context.Cause(ctx))
	}
}

// takeLeave waits until peers have taken what waits for them.
func (s *Sync) takeLeave(ctx context.Context, links []*link) {
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	for _, l := range links {
		l.out.end()
	}
	for _, l := range links {
		select {
		case <-l.streamed:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Sync) close() {
	s.cancel()
	s.mu.Lock()
	var open []*conn
	for _, p := range s.peers {
		open = append(open, p.open()...)
	}
	s.mu.Unlock()
	err := errors.Join(s.listener.Close(), s.server.Close())
	if err != nil {
		s.opts.Logger.Debug("exchange closes", "err", err)
	}
	cutAll(open)
}

// start runs something that Stop waits for, unless it is too late for it. It
// wants s.mu held.
func (s *Sync) start(run func()) bool {
	if s.phase != running {
		return false
	}
	s.work.Go(run)
	return true
}

// enter says whether something may begin for which Stop waits, until leave.
func (s *Sync) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running {
		return false
	}
	s.work.Add(1)
	return true
}

// admit says whether a peer that has proved a node certificate may be spoken
// with, and counts it where it may not.
func (s *Sync) admit(node trust.NodeCert, from net.Addr) error {
	s.mu.Lock()
	p := s.peers[node.Host]
	s.mu.Unlock()
	if p == nil {
		err := fmt.Errorf("the mesh configuration names no host %q", node.Host)
		s.refusals.Add(UnknownHost, from.String(), err)
		return err
	}
	// A host dials from its own address, so a node key from another one was stolen.
	if at := addrPort(from).Addr(); at != p.addr.Addr().Unmap() {
		err := fmt.Errorf("at %s is somebody with the node key of %s, whose address is %s", at, node.Host, p.addr.Addr())
		s.refusals.Add(WrongHost, at.String(), err)
		return err
	}
	if err := s.opts.Nodes.Admit(node.Host, node); err != nil {
		s.refusals.Add(BadNode, node.Host, err)
		return fmt.Errorf("admit %s: %w", node.Host, err)
	}
	return nil
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		at := tcp.AddrPort()
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	at, _ := netip.ParseAddrPort(a.String()) // the zero value is no host's
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}
