package sync

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

const (
	// compareEvery is how often one other host is compared with, +-10 %.
	compareEvery = time.Second

	// exchangeTimeout bounds one exchange, with all its rounds.
	exchangeTimeout = time.Minute

	// deltaBudget is about how large a delta gets. One that could not take one
	// more record, almostFull, was cut, so another round follows.
	deltaBudget = 512 << 10
	almostFull  = deltaBudget - 2*catalog.MaxRecord
	maxRounds   = 512 // of 512 KiB: more than any catalog has

	// maxComparing bounds how many exchanges the loop has under way: what hangs
	// does not add up.
	maxComparing = 8
)

// compareAll compares with a host at random, once a second.
func (s *Sync) compareAll(ctx context.Context) {
	for pause(ctx, compareEvery*9/10+rand.N(compareEvery/5)) {
		s.mu.Lock()
		s.want()
		p := s.choose()
		s.mu.Unlock()
		if p != "" {
			s.compare(p)
		}
	}
}

// choose picks a host at random among those that are not known to be away. In a
// large fleet most often one with a kept connection: a new one costs both sides a
// handshake, and news go round as fast. It wants s.mu held.
func (s *Sync) choose() string {
	if len(s.order) == 0 || s.comparing >= maxComparing {
		return ""
	}
	if links := s.links(); s.large() && len(links) > 0 && rand.IntN(4) > 0 {
		return links[rand.IntN(len(links))].host
	}
	for range 16 {
		p := s.order[rand.IntN(len(s.order))]
		if p.link != nil || p.stop == nil && !time.Now().Before(p.retry) {
			return p.host
		}
	}
	return ""
}

// Nudge compares with a host now, and tries at once to reach it where it could
// not be reached before.
func (s *Sync) Nudge(host string) {
	s.mu.Lock()
	p := s.peers[host]
	if p != nil && p.link == nil {
		s.encourage(p)
	}
	kept := p != nil && p.link == nil && p.stop != nil
	s.mu.Unlock()
	if !kept { // else a comparison begins the connection
		s.compare(host)
	}
}

// compare begins an exchange with a host. While one runs, another one follows it.
func (s *Sync) compare(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[host]
	if p == nil {
		return
	}
	if p.comparing {
		p.again = true
		return
	}
	p.comparing = s.start(func() {
		for again := true; again; {
			s.exchange(s.life, p)
			s.mu.Lock()
			again, p.again = p.again && s.phase == running, false
			p.comparing = again
			if !again {
				s.comparing--
			}
			s.mu.Unlock()
		}
	})
	if p.comparing {
		s.comparing++
	}
}

// exchange compares with a peer, and both tell each other what the other lacks.
func (s *Sync) exchange(ctx context.Context, p *peer) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	s.counters.exchanges.Add(1)
	l, release, err := s.reach(ctx, p)
	if err == nil {
		err = s.trade(ctx, l)
		if errors.Is(err, context.DeadlineExceeded) {
			l.cut() // nobody is at the other end
		}
		release()
	}
	if err != nil {
		s.counters.exchangesFailed.Add(1)
		s.opts.Logger.Debug("exchange failed", "host", p.host, "err", err)
		s.noteFailure(p, l, err)
		return
	}
	s.mu.Lock()
	p.exchanged, p.failures, p.failure, p.retry = s.opts.Clock.Now(), 0, "", time.Time{}
	s.mu.Unlock()
}

// noteFailure counts a failed exchange against a peer. That of a kept link is
// left to whoever keeps it.
func (s *Sync) noteFailure(p *peer, l *link, err error) {
	if s.life.Err() != nil {
		return
	}
	if l == nil || l.out == nil {
		s.failed(p, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.failure = err.Error()
}

// reach is the kept link to a peer, or a new one for as long as until release.
func (s *Sync) reach(ctx context.Context, p *peer) (l *link, release func(), err error) {
	s.mu.Lock()
	l = p.link
	s.mu.Unlock()
	if l != nil {
		return l, func() {}, nil
	}
	if l, err = s.dial(ctx, p); err != nil {
		return nil, nil, err
	}
	return l, l.cut, nil
}

// trade compares, and then trades until neither has more to tell.
func (s *Sync) trade(ctx context.Context, l *link) error {
	root := s.opts.Catalog.Digest(s.opts.Clock.Now()).Root()
	status, b, err := l.ask(ctx, pathCompare, root[:], catalog.MaxDigest)
	if err != nil {
		return err
	}
	if status == http.StatusNoContent {
		s.counters.same.Add(1)
		return nil
	}
	for range maxRounds {
		more := false
		if b, more, err = s.round(ctx, l, b); err != nil || !more {
			return err
		}
	}
	return errors.New("it has ever more to tell")
}

// round sends a peer what it lacks, by its digest, and takes what this host
// lacks. More says that one of the two was cut off.
func (s *Sync) round(ctx context.Context, l *link, theirs []byte) (next []byte, more bool, err error) {
	ours, err := s.tell(l.host, theirs)
	if err != nil {
		return nil, false, err
	}
	_, b, err := l.ask(ctx, pathTrade, ours.encode(), maxTrade)
	if err != nil {
		return nil, false, err
	}
	answer, err := readTrade(b)
	if err != nil {
		return nil, false, err
	}
	result, err := s.merge(l.host, answer.delta)
	if err != nil {
		return nil, false, err
	}
	more = result.Taken > 0 && len(answer.delta) >= almostFull || answer.taken > 0 && len(ours.delta) >= almostFull
	return answer.digest, more, nil
}

// ask sends a request that has to be answered well.
func (l *link) ask(ctx context.Context, path string, body []byte, limit int) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	status, answer, err = l.post(ctx, path, body, limit)
	if err == nil && status != http.StatusOK && status != http.StatusNoContent {
		err = fmt.Errorf("%s answers %d %.200q", l.host, status, answer)
	}
	return status, answer, err
}
