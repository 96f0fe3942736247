package deploy

import (
	"encoding/json"
	"io"
	"sync"
)

// NDJSON writes every event as one JSON object a line; the last is the summary.
type NDJSON struct {
	mu  sync.Mutex // guards w
	w   io.Writer
	err error
}

// NewNDJSON writes to w.
func NewNDJSON(w io.Writer) *NDJSON { return &NDJSON{w: w} }

// Event writes e.
func (n *NDJSON) Event(e Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
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
