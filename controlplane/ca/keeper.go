package ca

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/trust"
)

// KeeperOptions are what a keeper works with. All but Changed are needed.
type KeeperOptions struct {
	Host      string // this host
	Node      trust.NodeKey
	NodeCert  trust.NodeCert
	Store     Store
	Transport Transport
	Clock     Clock
	Logger    *slog.Logger
	Changed   func(service string) // after a leaf came, from Run's goroutine
}

// Keeper holds the leaves of one host's services. New loads what is on disk, so
// Leaf answers before anybody else is reached; Run renews.
type Keeper struct {
	KeeperOptions

	wake chan struct{} // Configure tells Run

	mu    sync.Mutex // guards what follows
	fleet *Fleet     // nil before Configure
	held  map[string]*held
	peers map[string]*peer
	aside []string
}

// longestWait is how long Run sleeps at most: the clock may have jumped.
const longestWait = time.Minute

// NewKeeper loads what is on disk. A file that cannot be read is set aside and
// named in the status; its leaf will be asked for again.
func NewKeeper(o KeeperOptions) (*Keeper, error) {
	if o.NodeCert.Host != o.Host || o.NodeCert.Key != o.Node.Public() {
		return nil, fmt.Errorf("keep certificates: the node certificate is not of the node key of %s", o.Host)
	}
	k := &Keeper{KeeperOptions: o, wake: make(chan struct{}, 1), held: map[string]*held{}, peers: map[string]*peer{}}
	names, err := o.Store.Names()
	if err != nil {
		o.Logger.Error("certificates not read", "err", err)
	}
	for _, name := range names {
		if service := heldService(name); service != "" {
			k.load(name, service)
		}
	}
	return k, nil
}

func (k *Keeper) load(name, service string) {
	content, err := k.Store.Load(name)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		var h *held
		if h, err = parseHeld(content, service); err == nil {
			k.held[service] = h
			return
		}
		k.aside = append(k.aside, name+aside)
		err = errors.Join(err, k.Store.SetAside(name))
	}
	k.Logger.Error("certificate file not read", "file", name, "err", err)
}

// Configure gives the keeper the fleet that acts from now on: which services
// are here, who signs, which roots vouch.
func (k *Keeper) Configure(f *Fleet) {
	now := k.now()
	k.mu.Lock()
	k.fleet = f
	placed := f.placed(k.Host)
	for _, service := range placed {
		if k.held[service] == nil {
			k.held[service] = &held{}
		}
	}
	for service, h := range k.held {
		h.configure(slices.Contains(placed, service), f, now)
	}
	for name := range k.peers {
		if !slices.Contains(f.Config.CA.Authorities, name) {
			delete(k.peers, name)
		}
	}
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Leaf is the leaf of a service, if there is one. It may have expired: a proxy
// that has a secret which peers refuse is no worse off than one without, and
// this host's clock may be what is wrong.
func (k *Keeper) Leaf(service string) (trust.Leaf, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if h := k.held[service]; h != nil && h.leaf != nil {
		return *h.leaf, true
	}
	return trust.Leaf{}, false
}

// Run renews until the context ends. It is one goroutine, the caller's.
func (k *Keeper) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		case <-timer.C:
		}
		wait := k.step(ctx)
		timer.Reset(min(wait, longestWait))
	}
}

// step renews the identity that is due first, if its time has come, and says
// how long nothing is to be done.
func (k *Keeper) step(ctx context.Context) (wait time.Duration) {
	k.sweep()
	k.ripen()
	service, due := k.next()
	if service == "" {
		return longestWait
	}
	if wait := due.Sub(k.now()); wait > 0 {
		return wait
	}
	k.renew(ctx, service)
	return 0
}

// next is the identity that is due first: of those whose time has come one
// without a leaf that serves, then the one that waits longest, then by name.
func (k *Keeper) next() (service string, due time.Time) {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fleet == nil {
		return "", time.Time{}
	}
	best := false // ready, and without a leaf that serves
	for _, name := range k.fleet.placed(k.Host) {
		h := k.held[name]
		at := h.due(now)
		urgent := !at.After(now) && !h.serves(now)
		if service == "" || urgent && !best || urgent == best && at.Before(due) {
			service, due, best = name, at, urgent
		}
	}
	return service, due
}

// ripen takes spare leaves whose time has come.
func (k *Keeper) ripen() {
	now := k.now()
	k.mu.Lock()
	fleet, ripe := k.fleet, map[string]offer{}
	for service, h := range k.held {
		if fleet != nil && h.placed {
			if o := h.ripe(fleet.Roots, now); o != nil {
				ripe[service] = *o
			}
		}
	}
	k.mu.Unlock()
	for service, o := range ripe {
		k.take(fleet, service, o)
	}
}

// sweep saves leaves that could not be saved, and forgets those of services
// that are here no more, once they are over: a rollback before then finds them.
func (k *Keeper) sweep() {
	now := k.now()
	var unsaved, gone []string
	k.mu.Lock()
	if k.fleet == nil {
		k.mu.Unlock()
		return
	}
	for service, h := range k.held {
		if h.unsaved {
			unsaved = append(unsaved, service)
		}
		if h.placed || h.leaf != nil && !h.over(now) {
			continue
		}
		delete(k.held, service)
		gone = append(gone, service)
	}
	k.mu.Unlock()
	for _, service := range unsaved {
		k.save(service)
	}
	for _, service := range gone {
		if err := k.Store.Remove(heldName(service)); err != nil {
			k.Logger.Warn("expired leaf not removed", "service", service, "err", err)
		}
	}
}

// save keeps a leaf on disk. Where that fails the leaf serves all the same, and
// saving is tried again. Nobody waits for a disk that is slow: mu is not held
// meanwhile, and only Run's goroutine writes.
func (k *Keeper) save(service string) {
	k.mu.Lock()
	h := k.held[service]
	if h == nil || h.leaf == nil {
		k.mu.Unlock()
		return
	}
	content, err := h.text()
	k.mu.Unlock()
	if err == nil {
		err = k.Store.Save(heldName(service), content)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil && !h.unsaved {
		k.Logger.Error("leaf not saved", "service", service, "err", err)
	}
	h.unsaved = err != nil
}

// authorities are whom to ask, in this host's order: itself first if it is one,
// for that needs no network, then the others from a place on that differs from
// host to host, so that not all ask the same one.
func (k *Keeper) authorities() []string {
	all := slices.Clone([]string(k.fleet.Config.CA.Authorities))
	if len(all) == 0 {
		return nil
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(k.Host))
	at := int(sum.Sum32() % uint32(len(all)))
	all = append(all[at:], all[:at]...)
	if i := slices.Index(all, k.Host); i > 0 {
		all = slices.Insert(slices.Delete(all, i, i+1), 0, k.Host)
	}
	return all
}

// now is the time of day, without the reading that only this process knows:
// certificates are about the former.
func (k *Keeper) now() time.Time { return k.Clock.Now().Round(0) }
