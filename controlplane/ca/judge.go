package ca

import (
	"errors"
	"fmt"
	"time"

	"github.com/nixmesh/nixmesh/trust"
)

// offer is a leaf that an authority gave.
type offer struct {
	leaf trust.Leaf
	from string
	err  error // nil = good; else why this host would not take it from a peer
}

// judge looks at an answer's chain: it has to be for our key and our service,
// else it is worth nothing, and then the roots have to vouch for it now. A chain
// that fails only the latter is an offer with its error: it may still be the
// best there is.
func judge(key trust.LeafKey, service, from, chain string, roots trust.Bundle, now time.Time) (offer, error) {
	c, err := trust.ParseChain([]byte(chain))
	if err != nil {
		return offer{}, err
	}
	leaf, err := key.Join(c, roots.Domain)
	if err != nil {
		return offer{}, err
	}
	if leaf.Service != service {
		return offer{}, fmt.Errorf("%w: asked for %q, got %q", trust.ErrIdentity, service, leaf.Service)
	}
	_, err = roots.Verify(c, now)
	if err != nil && !errors.Is(err, trust.ErrTime) && !errors.Is(err, trust.ErrUnknownRoot) {
		return offer{}, err
	}
	return offer{leaf, from, err}, nil
}

// choose decides what to do with the offers of a round in which none was good.
//
//   - A leaf that serves is kept: one authority with a wrong clock, or of a
//     root that this host does not know, must not cost it. An offer whose time
//     has yet to come waits as a spare (see ripe).
//   - Except where two authorities or more agree on the time, no other answers,
//     and by their time the leaf held is over, or nearly: then it is this host's
//     clock that is slow. Clocks that are wrong seldom agree.
//   - With nothing that serves there is nothing to lose: the offer that lasts
//     longest is taken if it outlasts what is held. Peers judge it by their own
//     clocks and roots, and this host's may be the wrong ones.
//
// Nil is that nothing is taken.
func choose(h *held, offers []offer, now time.Time) *offer {
	var best *offer
	for i := range offers {
		if best == nil || until(offers[i].leaf).After(until(best.leaf)) {
			best = &offers[i]
		}
	}
	switch {
	case best == nil, h.leaf != nil && !until(best.leaf).After(until(*h.leaf)):
		return nil
	case h.serves(now) && !slow(*h.leaf, offers):
		return nil
	}
	return best
}

// agreement is how far the clocks of authorities may differ to agree.
const agreement = 10 * time.Minute

// slow says whether the offers of a round prove that this host's clock is slow
// by so much that the leaf it holds is over. An offer begins a little before
// its authority's time. The next round may be an hour away, so "nearly over"
// counts.
func slow(leaf trust.Leaf, offers []offer) bool {
	for _, o := range offers {
		over := o.begins().Add(2 * maxRetry).After(until(leaf))
		if !errors.Is(o.err, trust.ErrNotYet) || !over || o.begins().Sub(offers[0].begins()).Abs() > agreement {
			return false
		}
	}
	return len(offers) >= 2
}

// earliest is the offer that begins first of those whose time has yet to come
// and the spare there was; nil for none.
func earliest(spare *offer, offers []offer) *offer {
	for i := range offers {
		if errors.Is(offers[i].err, trust.ErrNotYet) && (spare == nil || offers[i].begins().Before(spare.begins())) {
			spare = &offers[i]
		}
	}
	return spare
}

// ripe is the spare, once this host would take it from a peer; nil before.
func (h *held) ripe(roots trust.Bundle, now time.Time) *offer {
	if h.spare == nil || now.Before(h.spare.begins()) {
		return nil
	}
	o := *h.spare
	if _, o.err = roots.Verify(o.leaf.Chain, now); o.err != nil {
		return nil
	}
	return &o
}

func (o offer) begins() time.Time { return o.leaf.Chain.Life().From }

func until(l trust.Leaf) time.Time { return l.Chain.Life().Until }
