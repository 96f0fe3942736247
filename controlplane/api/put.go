package api

import (
	"errors"
	"io"
	"net/http"
)

func (s *Server) apply(w http.ResponseWriter, r *http.Request) error {
	body, err := s.body(r)
	if err != nil {
		return err
	}
	applied := s.source.Apply(r.Context(), body, callerFrom(r).Peer)
	s.log(r, len(body), "result", applied.Result, "version", applied.In.Version, "reason", applied.Reason)
	s.write(w, http.StatusOK, applied)
	return nil
}

func (s *Server) override(w http.ResponseWriter, r *http.Request) error {
	return s.take(w, r, func(body []byte) error {
		return s.source.Override(r.Context(), body, callerFrom(r).Peer)
	})
}

func (s *Server) installAuthority(w http.ResponseWriter, r *http.Request) error {
	return s.take(w, r, s.source.InstallAuthority)
}

// take gives a body to the agent and answers 204, or 409 with the reason why
// it is not taken.
func (s *Server) take(w http.ResponseWriter, r *http.Request, give func([]byte) error) error {
	body, err := s.body(r)
	if err != nil {
		return err
	}
	if err := give(body); err != nil {
		s.log(r, len(body), "result", "refused", "reason", err.Error())
		return &failure{code: http.StatusConflict, text: err.Error()}
	}
	s.log(r, len(body), "result", "taken")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// body reads a request's body, which is not empty. Few are read at once: what
// many clients may send together is more than the agent's memory.
func (s *Server) body(r *http.Request) ([]byte, error) {
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-r.Context().Done():
		return nil, &failure{code: http.StatusServiceUnavailable, text: "others are sending much to the agent", next: "try again"}
	}
	body, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, tooLarge(large.Limit)
	case err != nil:
		return nil, &failure{code: http.StatusBadRequest, text: "the body ended early"}
	case len(body) == 0:
		return nil, &failure{code: http.StatusBadRequest, text: "the body is empty"}
	}
	return body, nil
}

// log says who wrote what, and what became of it.
func (s *Server) log(r *http.Request, size int, more ...any) {
	who := callerFrom(r)
	s.logger.Info("api write", append([]any{"path", r.URL.Path, "bytes", size, "uid", who.UID, "gid", who.GID, "pid", who.PID}, more...)...)
}
