package sync

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

// Push tells a change of this host to all its peers at once. Push waits for
// nobody; what does not fit is left to a comparison that follows.
func (s *Sync) Push(d *catalog.Delta) {
	if !d.Empty() {
		s.send(d.Encode(), "")
	}
}

// send gives an encoded delta to all links but the one to the host it came from.
func (s *Sync) send(delta []byte, except string) {
	s.mu.Lock()
	links := s.links()
	s.mu.Unlock()
	var frame []byte
	if len(delta) <= maxPush {
		frame = appendPush(nil, delta)
	}
	for _, l := range links {
		switch {
		case l.host == except:
		case frame == nil:
			s.counters.pushesDropped.Add(1)
			s.compare(l.host)
		case l.out.add(frame):
			s.counters.pushes.Add(1)
		default:
			s.counters.pushesDropped.Add(1)
		}
	}
}

// passesOn says whether news from others are passed on: not everybody who lacks
// them hears them from whom they come.
func (s *Sync) passesOn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.large() || s.mixed
}

// stream sends what is pushed to a peer until the stream ends.
func (s *Sync) stream(ctx context.Context, l *link) error {
	defer close(l.streamed)
	resp, err := l.request(ctx, pathPush, l.out)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("begin stream: it answers %d", resp.StatusCode)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	return errEnded
}

var errEnded = errors.New("it ended the stream")

// servePush takes what is pushed until the stream ends. Whoever pushes what
// cannot be read loses the stream, and compares after the next one began.
func (s *Sync) servePush(w http.ResponseWriter, r *http.Request, c *conn) {
	w.WriteHeader(http.StatusOK)
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	in := bufio.NewReaderSize(r.Body, pushBuffer)
	for {
		b, err := readPush(in)
		if errors.Is(err, errMalformed) {
			s.refusals.Add(BadRequest, c.host, err)
			return // the answer has begun: its end is all that can be told
		}
		if err != nil || c.closed.Load() {
			return
		}
		s.counters.received.Add(1)
		result, err := s.merge(c.host, b)
		if err != nil {
			s.refusals.Add(BadRequest, c.host, err)
			continue
		}
		if result.Taken > 0 && s.passesOn() {
			s.counters.relayed.Add(1)
			s.send(b, c.host)
		}
	}
}

// pushBuffer holds one change, as a rule.
const pushBuffer = 1 << 10
