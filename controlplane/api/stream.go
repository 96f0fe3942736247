package api

import (
	"bufio"
	"io"
	"net/http"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
)

// atOnce is how much of an answer that is written piece by piece goes out
// together, in bytes. What goes wrong before that is an answer of its own.
const atOnce = 64 << 10

// stream answers with JSON as it is written. An error that comes when a part is
// out already stands after the body, in agentapi.TrailerError.
func (s *Server) stream(w http.ResponseWriter, write func(io.Writer) error) error {
	out := &streamed{w: w, patience: s.limits.write}
	buffered := bufio.NewWriterSize(out, atOnce)
	err := write(buffered)
	if err != nil && !out.begun {
		return &failure{code: http.StatusServiceUnavailable, text: err.Error()}
	}
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		w.Header().Set(agentapi.TrailerError, err.Error())
	}
	return nil
}

// streamed begins the answer with the first piece. A client that does not take a
// piece in time is left.
type streamed struct {
	w        http.ResponseWriter
	patience time.Duration
	begun    bool
}

// Write sends one piece.
func (s *streamed) Write(b []byte) (int, error) {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "application/json")
		s.w.Header().Set("Trailer", agentapi.TrailerError)
		s.w.WriteHeader(http.StatusOK)
	}
	// A deadline that cannot be set leaves the server's own, which is longer.
	_ = http.NewResponseController(s.w).SetWriteDeadline(time.Now().Add(s.patience))
	return s.w.Write(b)
}
