package gossip

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// updateTimeout bounds how long SetMeta waits for the news to go out.
const updateTimeout = 2 * time.Second

// SetMembers replaces the addresses of the fleet: a mesh configuration was
// applied. Hosts that are no longer named are refused from now on, new ones are
// called at once. This host stays one of them, named or not; with another
// address for it the error is ErrMoved and nothing changes.
func (g *Gossip) SetMembers(hosts map[string]netip.AddrPort) error {
	removed, added, moved, err := g.table.replace(hosts)
	if err != nil {
		return err
	}
	g.view.changed(removed, added, moved)
	g.hints.forget(removed)
	select {
	case g.knockNow <- struct{}{}:
	default:
	}
	return nil
}

// Members lists the hosts of the table but this one, sorted by name, each with
// what is known of its agent.
func (g *Gossip) Members() []Member { return g.view.members() }

// Address is where the others find this host. Its port is known after Start.
func (g *Gossip) Address() netip.AddrPort { return g.table.addr(g.opts.Host) }

// SetMeta tells the others another meta, and waits until it went out.
func (g *Gossip) SetMeta(ctx context.Context, m Meta) error {
	b, err := m.encode()
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.phase == stopped {
		return fmt.Errorf("%w: set meta", ErrState)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	g.meta = m
	if g.phase == fresh {
		return nil
	}
	g.delegate.setMeta(b)
	timeout := updateTimeout
	if until, ok := ctx.Deadline(); ok {
		timeout = max(min(timeout, time.Until(until)), time.Millisecond)
	}
	if err := g.parts.Load().list.UpdateNode(timeout); err != nil {
		return fmt.Errorf("tell meta: %w", err)
	}
	return nil
}

// Broadcast spreads a hint to all members, at most MaxHint bytes. A hint of the
// same key that still waits is replaced. The error is ErrBusy when too many wait.
func (g *Gossip) Broadcast(key string, data []byte) error { return g.hints.broadcast(key, data) }

// Queued is how many hints wait to be sent, relayed ones included.
func (g *Gossip) Queued() int { return g.hints.queue.NumQueued() }

// AddKey lets this host open what is encrypted with a key. Rotation is: add the
// new key on every host, then use it on every host, then remove the old one.
func (g *Gossip) AddKey(key []byte) error { return g.keys.add(key) }

// UseKey encrypts with a key from now on. It was added before.
func (g *Gossip) UseKey(key []byte) error { return g.keys.use(key) }

// RemoveKey drops a key that is not in use.
func (g *Gossip) RemoveKey(key []byte) error { return g.keys.remove(key) }

// SetKeys replaces the keys while gossip runs; the first encrypts.
func (g *Gossip) SetKeys(keys [][]byte) error { return g.keys.set(keys) }

// Keys lists the fingerprints of the keys, the one in use first.
func (g *Gossip) Keys() []string { return g.keys.fingerprints() }
