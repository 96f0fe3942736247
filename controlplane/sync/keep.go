package sync

import (
	"context"
	"time"
)

// keep keeps a connection to a peer up until ctx ends.
func (s *Sync) keep(ctx context.Context, p *peer, wake <-chan struct{}) {
	for s.await(ctx, p, wake) {
		l, err := s.dial(ctx, p)
		if err == nil {
			err = s.use(ctx, p, l)
		}
		if ctx.Err() == nil {
			s.failed(p, err)
		}
	}
}

// await waits until the next attempt at a peer is due, or somebody wants one.
func (s *Sync) await(ctx context.Context, p *peer, wake <-chan struct{}) bool {
	s.mu.Lock()
	wait := time.Until(p.retry)
	s.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// use pushes over a link for as long as it lasts. The comparison comes after the
// link takes pushes, so that nothing falls between the two.
func (s *Sync) use(ctx context.Context, p *peer, l *link) error {
	defer l.cut()
	l.out = newOutbox(func() { s.compare(p.host) })
	s.mu.Lock()
	p.link, p.since = l, s.opts.Clock.Now()
	s.mu.Unlock()
	s.opts.Logger.Debug("peer connected", "host", p.host, "protocol", l.common)
	s.opts.OnPeer(p.host, true)
	s.compare(p.host)
	err := s.stream(ctx, l)
	s.mu.Lock()
	p.link, p.since = nil, time.Time{}
	s.mu.Unlock()
	s.opts.Logger.Debug("peer gone", "host", p.host, "err", err)
	s.opts.OnPeer(p.host, false)
	return err
}
