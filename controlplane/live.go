package controlplane

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// live is the catalog of this host behind a lock, with what has to happen when
// it changes. It is what the exchange between agents asks and tells.
type live struct {
	self   string
	key    trust.NodeKey
	judge  catalog.Keys
	files  *files
	poison *poison
	clock  Clock
	logger *slog.Logger

	changed func(changes []catalog.Change, all bool) // of what is known; all = anything may have changed; called under mu
	push    func(d *catalog.Delta)                   // tells peers what this host changed
	clocks  *clocks
	unknown func(from, host string) // from told of a host whose key is not known here; called without mu

	mu      sync.Mutex // guards what follows
	catalog *catalog.Catalog
	config  *mesh.Config // nil before the first document
	epoch   uint64       // of this host, 0 before start
	last    uint64       // the highest that is known to have been used
	kept    uint64       // the highest on disk
	seen    catalog.Generation
	saved   catalog.Generation // of the snapshot on disk
	merged  uint64             // records and overrides of others that were taken
	refused uint64             // and that were not
	told    map[string]time.Time
	hollow  time.Time // since when the catalog lacks what this host knew of others; zero = it lacks nothing
}

func newLive(self string, key trust.NodeKey, judge catalog.Keys, f *files, p *poison, clock Clock, logger *slog.Logger) *live {
	l := &live{
		self: self, key: key, judge: judge, files: f, poison: p, clock: clock, logger: logger,
		catalog: catalog.New(self, judge), told: map[string]time.Time{},
	}
	l.last = l.readEpoch()
	l.kept = l.last
	return l
}

func (l *live) sign(message []byte) ([]byte, error) {
	return l.key.Sign(trust.PurposeRecord, message), nil
}

// do works on the catalog. What this host changed by it (own) is told to peers.
func (l *live) do(own bool, work func(c *catalog.Catalog, now time.Time) error) error {
	delta, err := l.alone(own, work)
	if delta != nil {
		l.push(delta)
	}
	return err
}

// alone works under the lock, which a panic that somebody survives gives back.
func (l *live) alone(own bool, work func(c *catalog.Catalog, now time.Time) error) (*catalog.Delta, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	err := work(l.catalog, now)
	return l.settle(now, own), err
}

// settle looks at what changed, and makes the delta that tells it. mu is held.
func (l *live) settle(now time.Time, own bool) *catalog.Delta {
	changes, ok := l.catalog.Since(l.seen)
	l.seen = l.catalog.Generation()
	if len(changes) == 0 && ok {
		return nil
	}
	l.changed(changes, !ok)
	if !own {
		return nil
	}
	mine := changes[:0:0]
	for _, change := range changes {
		if change.Host == l.self || change.What == catalog.OverrideChanged {
			mine = append(mine, change)
		}
	}
	delta := l.catalog.Push(now, mine)
	if delta.Empty() {
		return nil
	}
	return delta
}

// look reads the catalog. It must not keep what it was given.
func (l *live) look(read func(c *catalog.Catalog, config *mesh.Config, now time.Time)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	read(l.catalog, l.config, l.clock.Now())
}

// restore takes what was known at the last stop. The catalog is configured.
func (l *live) restore(t *trying) {
	content := l.files.read(fileCatalog, catalog.MaxSnapshot)
	l.mu.Lock()
	if content == nil || l.config == nil {
		l.hollow = time.Now()
	}
	l.mu.Unlock()
	if content == nil {
		return
	}
	t.begin(fileCatalog, hashOf(content))
	defer t.taken(fileCatalog, false)
	err := l.poison.guard("catalog of the last run", func() []byte { return content }, func() error {
		return l.do(false, func(c *catalog.Catalog, now time.Time) error { return c.Restore(now, content) })
	})
	if err != nil {
		l.files.setAside(fileCatalog, err)
		l.renew()
	}
}

// renew begins with an empty catalog: what is in this one cannot be relied on.
// This host has to start again in it.
func (l *live) renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.catalog, l.epoch = catalog.New(l.self, l.judge), 0
	if l.config != nil {
		l.catalog.Configure(l.config)
	}
	l.seen, l.hollow = 0, time.Now()
	l.changed(nil, true)
}

// configure takes what a mesh configuration names.
func (l *live) configure(config *mesh.Config) {
	_ = l.do(false, func(c *catalog.Catalog, _ time.Time) error { // the work cannot fail
		l.config = config
		c.Configure(config)
		return nil
	})
}

// start begins an epoch with what this host says. The epoch is on disk before it
// is used; where the disk takes nothing, peers know it, and tell it by Rival.
func (l *live) start(updates []catalog.Update) error {
	return l.do(true, func(c *catalog.Catalog, now time.Time) error {
		own, _ := c.Status(l.self)
		return l.begin(max(l.last, own.Epoch), func(epoch uint64) error {
			return c.Start(now, epoch, updates, l.sign)
		})
	})
}

// begin begins the epoch after one. One that was kept and could not be begun is
// tried again, not passed over. mu is held.
func (l *live) begin(after uint64, start func(epoch uint64) error) error {
	if after == math.MaxUint64 {
		return errors.New("begin an epoch: the last one is in use; this host needs another node key")
	}
	next := after + 1
	if l.kept < next {
		l.keepEpoch(next)
		l.kept = next
	}
	if err := start(next); err != nil {
		return err
	}
	l.epoch, l.last = next, next
	return nil
}

// started says whether this host said what it is since its catalog began.
func (l *live) started() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch != 0
}

// counts are the records and overrides of others that were taken, and that were not.
func (l *live) counts() (merged, refused uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.merged, l.refused
}

// number is this host's epoch.
func (l *live) number() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch
}

// publish says what changed on this host.
func (l *live) publish(updates []catalog.Update) error {
	return l.do(true, func(c *catalog.Catalog, now time.Time) error {
		return c.Publish(now, updates, l.sign)
	})
}

// Digest is how far this host is.
func (l *live) Digest(now time.Time) *catalog.Digest {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.catalog.Digest(now)
}

// OpenDigest reads a peer's digest and checks its signature.
func (l *live) OpenDigest(b []byte) (d *catalog.Digest, err error) {
	err = l.poison.guard("digest", func() []byte { return b }, func() error {
		d, err = catalog.OpenDigest(b, l.judge)
		return err
	})
	if err == nil {
		l.clocks.see(d.Host, d.At, l.clock.Now())
	}
	return d, err
}

// SealDigest writes a digest and signs it.
func (l *live) SealDigest(d *catalog.Digest) ([]byte, error) { return d.Encode(l.sign) }

// Delta is what the sender of a digest lacks.
func (l *live) Delta(now time.Time, theirs *catalog.Digest, budget int) *catalog.Delta {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.catalog.Delta(now, theirs, budget)
}

func (l *live) readEpoch() uint64 {
	content := l.files.read(fileEpoch, 64)
	if content == nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(string(content), "\n"), 10, 64)
	if err != nil {
		l.files.setAside(fileEpoch, err)
		return 0
	}
	return n
}

func (l *live) keepEpoch(n uint64) { l.files.save(fileEpoch, fmt.Appendf(nil, "%d\n", n)) }

// save keeps a snapshot where there is news.
func (l *live) save() {
	l.mu.Lock()
	generation := l.catalog.Generation()
	if generation == l.saved {
		l.mu.Unlock()
		return
	}
	content := l.catalog.Snapshot(l.clock.Now())
	l.saved = generation
	l.mu.Unlock()
	l.files.save(fileCatalog, content)
}
