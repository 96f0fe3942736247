package gossip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/nixmesh/nixmesh/internal/refusal"
)

// leaveTimeout bounds how long Stop says good-bye: news goes out four to twelve
// times, up to four a round of 100 ms, first that this host leaves and then that
// it left. 0.8 s in a pair, where it is one a round; less with more members.
const leaveTimeout = 2 * time.Second

var (
	// ErrState is returned for a call out of turn: Start twice, or anything that
	// needs a running Gossip before Start or after Stop.
	ErrState = errors.New("gossip is not in the state for that")
	// ErrLeave is returned by Stop when nobody could be told in time. Gossip has
	// stopped nevertheless, and the others will find the host dead.
	ErrLeave = errors.New("leaving was not told to anybody")
)

// Gossip is this host's part in the fleet's gossip.
type Gossip struct {
	opts     Options
	table    *table
	keys     *keyring
	refusals *refusal.Counter[Reason]
	view     *view
	hints    *hints
	delegate *delegate
	knockNow chan struct{}

	parts atomic.Pointer[parts] // nil before Start
	loops sync.WaitGroup
	done  chan struct{} // closed when Stop is through

	mu    sync.Mutex // guards what follows
	phase phase
	meta  Meta
}

// parts are what Start makes.
type parts struct {
	transport *transport
	list      *memberlist.Memberlist
	knocker   *knocker
	cancel    context.CancelFunc
}

type phase int

const (
	fresh phase = iota
	running
	stopped
)

// New checks the options. It opens nothing.
func New(opts Options) (*Gossip, error) {
	opts, err := opts.complete()
	if err != nil {
		return nil, err
	}
	keys, err := newKeyring(opts.Keys)
	if err != nil {
		return nil, err
	}
	opts.Keys = nil
	hosts, err := newTable(opts.Host, opts.Members)
	if err != nil {
		return nil, err
	}
	g := &Gossip{
		opts: opts, table: hosts, keys: keys, meta: opts.Meta,
		refusals: refusal.New[Reason](opts.Logger, "gossip refused"),
		view:     newView(hosts),
		knockNow: make(chan struct{}, 1),
		done:     make(chan struct{}),
	}
	g.hints = newHints(hosts, g.refusals, g.view.alive)
	g.delegate = &delegate{table: hosts, view: g.view, refusals: g.refusals, hints: g.hints}
	return g, nil
}

// Start listens and takes part from now on; it does not wait for anybody else.
// It may be called once.
func (g *Gossip) Start(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.phase != fresh {
		return fmt.Errorf("%w: start", ErrState)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	meta, err := g.meta.encode()
	if err != nil {
		return err
	}
	g.delegate.setMeta(meta)

	own := g.table.addr(g.opts.Host)
	bind := own
	if g.opts.Bind.IsValid() {
		bind = netip.AddrPortFrom(g.opts.Bind, own.Port())
	}
	transport, err := newTransport(g.opts.Network, bind, g.table, g.refusals, g.opts.Logger)
	if err != nil {
		return err
	}
	g.table.settle(netip.AddrPortFrom(own.Addr(), transport.port()))

	c := config()
	c.Name, c.Label = g.opts.Host, g.opts.Mesh
	c.BindPort = int(transport.port())
	c.Keyring = g.keys.ring
	c.Transport = transport
	c.Delegate, c.Events, c.Alive, c.Merge, c.Ping = g.delegate, g.delegate, g.delegate, g.delegate, g.delegate
	c.Logger = newLogger(g.opts.Logger, g.view.suspected)
	list, err := memberlist.Create(c)
	if err != nil {
		return errors.Join(fmt.Errorf("start memberlist: %w", err), transport.Shutdown())
	}

	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	knocker := &knocker{
		list: list, view: g.view, table: g.table, refusals: g.refusals,
		wake: g.knockNow, busy: map[string]bool{},
	}
	g.parts.Store(&parts{transport: transport, list: list, knocker: knocker, cancel: cancel})
	g.phase = running
	g.loops.Go(func() { knocker.run(life) })
	g.loops.Go(func() { g.tellEvents(life) })
	g.loops.Go(func() { g.tellHints(life) })
	return nil
}

// Stop tells the others that this host leaves, ends all connections and waits
// for everything that runs. It takes at most leaveTimeout, or as long as ctx
// lasts, plus what a call of OnEvent or OnHint takes that is under way; those
// must not call Stop. Stop without Start is fine, and so is a second Stop.
func (g *Gossip) Stop(ctx context.Context) error {
	g.mu.Lock()
	before, meta := g.phase, g.meta
	g.phase = stopped
	g.mu.Unlock()
	switch before {
	case fresh:
		close(g.done)
		return nil
	case stopped:
		select {
		case <-g.done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	defer close(g.done)
	left := g.leave(ctx, meta)
	return errors.Join(left, g.close())
}

func (g *Gossip) leave(ctx context.Context, meta Meta) error {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrLeave, context.Cause(ctx))
	}
	until, _ := ctx.Deadline()
	meta.leaving = true
	b, err := meta.encode()
	if err != nil {
		return err
	}
	g.delegate.setMeta(b)
	list := g.parts.Load().list
	if err := list.UpdateNode(max(time.Until(until)/2, time.Millisecond)); err != nil {
		return fmt.Errorf("%w: %w", ErrLeave, err)
	}
	if err := list.Leave(max(time.Until(until), time.Millisecond)); err != nil {
		return fmt.Errorf("%w: %w", ErrLeave, err)
	}
	return nil
}

// close ends everything without a word to the others.
func (g *Gossip) close() error {
	p := g.parts.Load()
	p.cancel()
	err := p.list.Shutdown()
	g.loops.Wait()
	return err
}

// tellEvents hands events to OnEvent.
func (g *Gossip) tellEvents(ctx context.Context) {
	for {
		select {
		case <-g.view.wake:
		case <-ctx.Done():
			return
		}
		for _, e := range g.view.take() {
			if ctx.Err() != nil {
				return
			}
			g.opts.OnEvent(e)
		}
	}
}

// tellHints hands hints to OnHint.
func (g *Gossip) tellHints(ctx context.Context) {
	for {
		select {
		case h := <-g.hints.waiting:
			g.opts.OnHint(h)
		case <-ctx.Done():
			return
		}
	}
}
