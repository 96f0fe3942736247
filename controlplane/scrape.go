package controlplane

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// MetricsPort is where machines that scrape find the metrics of a host whose
// facts allow it.
const MetricsPort = 7948

// scrape is a listener that opens and closes while it is listened to: whether
// anybody may scrape is a fact of the host, which may change.
type scrape struct {
	listen func(at netip.AddrPort) (net.Listener, error)

	mu     sync.Mutex // guards what follows
	inner  net.Listener
	at     netip.AddrPort
	change chan struct{} // closed when inner is another one
	over   bool
}

var _ net.Listener = (*scrape)(nil)

func newScrape(listen func(at netip.AddrPort) (net.Listener, error)) *scrape {
	return &scrape{listen: listen, change: make(chan struct{})}
}

// set listens at an address, and nowhere else; nowhere at all where it is not valid.
func (s *scrape) set(at netip.AddrPort) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || at == s.at {
		return nil
	}
	s.close()
	if !at.IsValid() {
		return nil
	}
	inner, err := s.listen(at)
	if err != nil {
		return fmt.Errorf("open metrics: %w", err)
	}
	s.inner, s.at = inner, at
	close(s.change)
	s.change = make(chan struct{})
	return nil
}

// close ends the inner listener. mu is held.
func (s *scrape) close() {
	if s.inner != nil {
		_ = s.inner.Close() // who accepts from it looks for another one
	}
	s.inner, s.at = nil, netip.AddrPort{}
}

// Accept waits for a connection, wherever it comes in at the time.
func (s *scrape) Accept() (net.Conn, error) {
	for {
		s.mu.Lock()
		inner, change, over := s.inner, s.change, s.over
		s.mu.Unlock()
		if over {
			return nil, net.ErrClosed
		}
		if inner == nil {
			<-change
			continue
		}
		c, err := inner.Accept()
		if err == nil || !errors.Is(err, net.ErrClosed) {
			return c, err
		}
	}
}

// Close ends it for good.
func (s *scrape) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil
	}
	s.over = true
	s.close()
	close(s.change)
	return nil
}

// Addr is where it listens now.
func (s *scrape) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return net.TCPAddrFromAddrPort(s.at)
}
