package sync

import (
	"cmp"
	"context"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

const (
	// allPeers is the largest fleet, this host included, in which everybody keeps a
	// connection to everybody; manyPeers is to how many others beyond.
	allPeers  = 32
	manyPeers = 16

	// lostAfter is how many attempts in a row make a peer one that is replaced, in
	// a large fleet, by the next one of the ranking; mostTried bounds that.
	lostAfter = 3
	mostTried = 4 * manyPeers

	retryFirst = 500 * time.Millisecond
	retryMost  = 15 * time.Second
)

// peer is another host. Sync.mu guards it.
type peer struct {
	host  string
	addr  netip.AddrPort
	conns map[*conn]struct{} // that are open, both ways
	link  *link              // the one that is kept, while it is up

	stop context.CancelFunc // ends what keeps the link; nil: none is kept
	wake chan struct{}      // tells it to try again now

	theirs    catalog.Protocols
	since     time.Time // of link
	exchanged time.Time
	failure   string
	failures  int
	retry     time.Time // no attempt before, unless somebody wants one

	comparing, again bool          // an exchange runs; another one is to follow
	asking           chan struct{} // one for each call that this host makes at once
	serving          int           // calls that are answered
	trading          int           // exchanges that are answered
}

func (p *peer) open() []*conn { return slices.Collect(maps.Keys(p.conns)) }

// SetHosts tells with whom this host may speak: all hosts of the mesh
// configuration but this one. Those that are missing are cut at once. It may be
// called at any time.
func (s *Sync) SetHosts(hosts map[string]netip.AddrPort) {
	s.mu.Lock()
	var cut []*conn
	for name, p := range s.peers {
		if addr, ok := hosts[name]; ok && addr == p.addr {
			continue
		}
		cut = append(cut, p.open()...)
		if p.stop != nil {
			p.stop()
		}
		delete(s.peers, name)
	}
	clear(s.places)
	for name, addr := range hosts {
		if name == s.opts.Host {
			continue
		}
		if s.peers[name] == nil {
			s.peers[name] = &peer{host: name, addr: addr}
		}
		s.places[addr.Addr().Unmap()]++
	}
	s.order = slices.SortedFunc(maps.Values(s.peers), func(a, b *peer) int { return cmp.Compare(a.host, b.host) })
	s.rank()
	s.mixed = s.hasMixed()
	s.want()
	s.mu.Unlock()
	cutAll(cut)
}

// rank orders the peers as this host prefers them: at random, but always alike.
func (s *Sync) rank() {
	place := func(p *peer) uint64 {
		h := fnv.New64a()
		h.Write([]byte(s.opts.Host + "\x00" + p.host))
		return mix(h.Sum64())
	}
	places := make(map[*peer]uint64, len(s.order))
	for _, p := range s.order {
		places[p] = place(p)
	}
	s.ranking = slices.Clone(s.order)
	slices.SortFunc(s.ranking, func(a, b *peer) int { return cmp.Compare(places[a], places[b]) })
}

// mix spreads a hash over all bits (the end of MurmurHash3): FNV's high bits
// hardly know of the last letter, which is all in which many hosts differ.
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// large says whether the fleet is too large for everybody to be everybody's peer.
func (s *Sync) large() bool { return len(s.peers)+1 > allPeers }

// want starts and ends connections so that those are kept that should be. It
// wants s.mu held.
func (s *Sync) want() {
	if s.phase != running {
		return
	}
	answering, most := 0, len(s.ranking)
	if s.large() {
		most = manyPeers
	}
	for i, p := range s.ranking {
		wanted := answering < most && (i < mostTried || !s.large())
		if wanted && p.stop == nil {
			s.begin(p)
		} else if !wanted && p.stop != nil {
			p.stop()
			p.stop, p.wake = nil, nil
		}
		if p.failures < lostAfter {
			answering++
		}
	}
}

// begin keeps a connection to a peer from now on. It wants s.mu held.
func (s *Sync) begin(p *peer) {
	ctx, cancel := context.WithCancel(s.life)
	p.stop, p.wake = cancel, make(chan struct{}, 1)
	before, ended := s.leaving[p.host], make(chan struct{})
	s.leaving[p.host] = ended
	wake := p.wake
	s.start(func() {
		defer cancel()
		if before != nil {
			<-before // so that OnPeer tells of one host in turn
		}
		s.keep(ctx, p, wake)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.leaving[p.host] == ended {
			delete(s.leaving, p.host)
		}
		close(ended)
	})
}

// failed notes an attempt at a peer that failed, and when to try again.
func (s *Sync) failed(p *peer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.failures++
	p.failure = err.Error()
	wait := retryMost
	if p.failures < 6 {
		wait = min(retryFirst<<(p.failures-1), retryMost)
	}
	p.retry = time.Now().Add(wait/2 + rand.N(wait/2))
}

// encourage ends a wait for a peer. It wants s.mu held.
func (s *Sync) encourage(p *peer) {
	p.failures, p.failure, p.retry = 0, "", time.Time{}
	if p.wake != nil {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// links are those that are up. It wants s.mu held.
func (s *Sync) links() []*link {
	var links []*link
	for _, p := range s.order {
		if p.link != nil {
			links = append(links, p.link)
		}
	}
	return links
}

// Rekeyed says that another node key of a host counts now, or that another host
// key is pinned: its connections end, and whoever comes has to prove it again.
func (s *Sync) Rekeyed(host string) {
	s.mu.Lock()
	var cut []*conn
	if p := s.peers[host]; p != nil {
		cut = p.open()
		s.encourage(p)
	}
	s.mu.Unlock()
	cutAll(cut)
}
