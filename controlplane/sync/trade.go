package sync

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

// tell is this host's digest, and a delta for the sender of another one.
func (s *Sync) tell(to string, theirs []byte) (t trade, err error) {
	err = s.guard(to, "digest", theirs, func() error {
		d, err := s.opts.Catalog.OpenDigest(theirs)
		if err != nil {
			return bad(fmt.Errorf("read digest: %w", err))
		}
		if d.Host != to {
			return bad(fmt.Errorf("read digest: it is of %q", d.Host))
		}
		now := s.opts.Clock.Now()
		t.delta = s.opts.Catalog.Delta(now, d, deltaBudget).Encode()
		if t.digest, err = s.opts.Catalog.SealDigest(s.opts.Catalog.Digest(now)); err != nil {
			return fmt.Errorf("seal digest: %w", err)
		}
		return nil
	})
	return t, err
}

func (s *Sync) serveCompare(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	root, err := readBody(r.Body, len(catalog.Sum{}))
	if err != nil {
		return nil, bad(err)
	}
	own := s.opts.Catalog.Digest(s.opts.Clock.Now())
	sum := own.Root()
	if bytes.Equal(root, sum[:]) {
		w.WriteHeader(http.StatusNoContent)
		return nil, nil
	}
	b, err := s.opts.Catalog.SealDigest(own)
	if err != nil {
		return nil, fmt.Errorf("seal digest: %w", err)
	}
	return b, nil
}

func (s *Sync) serveTrade(r *http.Request, c *conn) ([]byte, error) {
	end, ok := s.takeTurn(c.host, hostTrades, func(p *peer) *int { return &p.trading })
	if !ok {
		return nil, &declined{http.StatusTooManyRequests, errBusy}
	}
	defer end()
	select {
	case s.exchanges <- struct{}{}:
		defer func() { <-s.exchanges }()
	case <-r.Context().Done():
		return nil, &declined{http.StatusServiceUnavailable, errBusy}
	}
	b, err := readBody(r.Body, maxTrade)
	if err != nil {
		return nil, bad(err)
	}
	question, err := readTrade(b)
	if err != nil {
		return nil, bad(err)
	}
	result, err := s.merge(c.host, question.delta)
	if err != nil {
		return nil, bad(err)
	}
	answer, err := s.tell(c.host, question.digest)
	if err != nil {
		return nil, err
	}
	answer.taken = uint64(result.Taken)
	s.mu.Lock()
	if p := s.peers[c.host]; p != nil {
		p.exchanged = s.opts.Clock.Now()
	}
	s.mu.Unlock()
	return answer.encode(), nil
}
