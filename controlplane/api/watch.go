package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
)

// watch writes events as they come, until the client or the agent leaves.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) error {
	select {
	case s.watching <- struct{}{}:
		defer func() { <-s.watching }()
	default:
		return &failure{code: http.StatusServiceUnavailable, text: fmt.Sprintf("%d others watch this agent already", s.limits.watches), next: "end one, or watch another host"}
	}
	s.counts.watch(1)
	defer s.counts.watch(-1)

	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	events, stop := s.source.Events()
	q := newQueue(s.limits.queue)
	var pump sync.WaitGroup
	defer pump.Wait()
	defer q.close()
	defer stop()
	pump.Go(func() { q.fill(events) })

	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	beat := time.NewTicker(s.limits.heartbeat)
	defer beat.Stop()
	lines, open := []byte(nil), true
	for {
		if err := control.SetWriteDeadline(time.Now().Add(s.limits.watchWrite)); err != nil {
			return nil
		}
		if _, err := w.Write(lines); err != nil {
			return nil
		}
		if err := control.Flush(); err != nil || !open {
			return nil
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-q.ready:
		case <-beat.C:
		}
		lines, open = s.lines(q)
	}
}

// lines is what waits, as text: at least a line break, for the heartbeat. It
// is not open when nothing more comes.
func (s *Server) lines(q *queue) (text []byte, open bool) {
	events, missed, open := q.take()
	if missed > 0 {
		s.counts.missed(missed)
		events = append(events, agentapi.Event{Time: time.Now(), Kind: agentapi.EventLost,
			Detail: fmt.Sprintf("%d events were missed: this watch was not read in time", missed)})
	}
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil { // a time beyond the year 9999
			s.logger.Warn("event cannot be written", "err", err)
			continue
		}
		text = append(append(text, line...), '\n')
	}
	if len(text) == 0 && open {
		text = []byte("\n")
	}
	return text, open
}

// queue holds the events that a client has not read yet, up to a bound.
type queue struct {
	ready chan struct{} // one signal that there is something to take
	done  chan struct{} // closed: the client is gone

	mu     sync.Mutex // guards what follows
	events []agentapi.Event
	most   int
	missed int
	ended  bool
}

func newQueue(most int) *queue {
	return &queue{ready: make(chan struct{}, 1), done: make(chan struct{}), most: most}
}

// fill takes what comes, at once, until the channel or the queue is closed.
func (q *queue) fill(events <-chan agentapi.Event) {
	for {
		select {
		case <-q.done:
			return
		case e, ok := <-events:
			q.put(e, ok)
			if !ok {
				return
			}
		}
	}
}

// put adds an event, or the end.
func (q *queue) put(e agentapi.Event, ok bool) {
	q.mu.Lock()
	switch {
	case !ok:
		q.ended = true
	case len(q.events) >= q.most:
		q.missed++
	default:
		q.events = append(q.events, e)
	}
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default: // it is signalled already
	}
}

// take empties the queue.
func (q *queue) take() (events []agentapi.Event, missed int, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	events, missed, open = q.events, q.missed, !q.ended
	q.events, q.missed = nil, 0
	return events, missed, open
}

func (q *queue) close() { close(q.done) }
