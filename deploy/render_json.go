package deploy

import (
	"encoding/json"
	"io"
	"sync"
)

// NDJSON writes every event as one JSON object a line; the last is the summary.
type NDJSON struct {
	mu   sync.Mutex // guards what follows
	w    io.Writer
	err  error
	last map[string]string // host and phase -> progress told last
}

// NewNDJSON writes to w.
func NewNDJSON(w io.Writer) *NDJSON { return &NDJSON{w: w, last: map[string]string{}} }

// Event writes e.
func (n *NDJSON) Event(e Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e.State == StateProgress { // copies tell it often, and mostly the same
		key := e.Host + " " + string(e.Phase)
		if n.last[key] == e.Detail {
			return
		}
		n.last[key] = e.Detail
	}
	if n.err == nil {
		n.err = json.NewEncoder(n.w).Encode(e)
	}
}

// Close gives the first error of writing.
func (n *NDJSON) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}
