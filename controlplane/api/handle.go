package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
)

// failure is an answer that is none.
type failure struct {
	code int
	text string
	next string
}

func (f *failure) Error() string { return f.text }

// handler answers the requests of a table.
func (s *Server) handler(table []route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := &answer{ResponseWriter: w}
		path := "other"
		defer func() {
			if p := recover(); p != nil {
				s.counts.panicked()
				s.logger.Error("request made the agent panic", "method", r.Method, "path", path, "panic", p, "stack", string(debug.Stack()))
				s.fail(out, &failure{code: http.StatusInternalServerError, text: "the agent has a bug: this request made it panic", next: "its log has the place"})
			}
			s.counts.request(path, out.code)
		}()
		i := slices.IndexFunc(table, func(t route) bool { return t.path == r.URL.Path })
		if i < 0 {
			s.fail(out, &failure{code: http.StatusNotFound, text: "the agent has no " + short(r.URL.Path)})
			return
		}
		path = r.URL.Path
		i = slices.IndexFunc(table, func(t route) bool { return t.path == r.URL.Path && t.method == r.Method })
		if i < 0 {
			s.fail(out, &failure{code: http.StatusMethodNotAllowed, text: fmt.Sprintf("%s is not for %s", path, short(r.Method))})
			return
		}
		if err := s.answer(table[i], out, r); err != nil {
			s.fail(out, err)
		}
	})
}

// answer checks what holds for all requests, and serves one.
func (s *Server) answer(t route, out *answer, r *http.Request) error {
	if t.method == http.MethodPut {
		who := callerFrom(r)
		if err := who.mayWrite(s.listener.Addr().String()); err != nil {
			s.logger.Warn("refused a write", "path", t.path, "uid", who.UID, "gid", who.GID, "pid", who.PID)
			return &failure{code: http.StatusForbidden, text: err.Error()}
		}
	}
	if r.ContentLength > t.most {
		return tooLarge(t.most)
	}
	r.Body = http.MaxBytesReader(out, r.Body, t.most)
	if t.path != agentapi.PathWatch {
		ctx, cancel := context.WithTimeout(r.Context(), s.limits.handle)
		defer cancel()
		r = r.WithContext(ctx)
	}
	return t.serve(s, out, r)
}

// answer remembers the status that was written.
type answer struct {
	http.ResponseWriter
	code int
}

// WriteHeader writes the status.
func (a *answer) WriteHeader(code int) {
	if a.code == 0 {
		a.code = code
	}
	a.ResponseWriter.WriteHeader(code)
}

// Write writes a part of the body.
func (a *answer) Write(b []byte) (int, error) {
	if a.code == 0 {
		a.code = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap is what http.ResponseController looks for.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// fail answers with an Error, unless an answer was begun.
func (s *Server) fail(out *answer, err error) {
	if out.code != 0 {
		return
	}
	f := &failure{code: http.StatusInternalServerError, text: err.Error()}
	errors.As(err, &f)
	s.write(out, f.code, agentapi.Error{Error: f.text, Next: f.next})
}

// write answers with JSON.
func (s *Server) write(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		s.logger.Error("answer cannot be written", "err", err)
		code, body = http.StatusInternalServerError, []byte(`{"error":"the agent has a bug: it cannot write its answer"}`)
	}
	s.writeBytes(w, code, "application/json", append(body, '\n'))
}

// writeBytes answers; a client that does not take it in time is left.
func (s *Server) writeBytes(w http.ResponseWriter, code int, kind string, body []byte) {
	// A deadline that cannot be set leaves the server's own, which is longer.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.limits.write))
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body) // the client is gone
}

func tooLarge(most int64) error {
	if most == 0 {
		return &failure{code: http.StatusRequestEntityTooLarge, text: "this request takes no body"}
	}
	return &failure{code: http.StatusRequestEntityTooLarge, text: fmt.Sprintf("the body is larger than %d bytes", most)}
}

// short is the beginning of what a client sent, for an answer or the log.
func short(text string) string {
	const most = 60
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return fmt.Sprintf("%q", text)
}
