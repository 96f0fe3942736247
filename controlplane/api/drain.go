package api

import "net/http"

// beginDrain answers when calls go elsewhere.
func (s *Server) beginDrain(w http.ResponseWriter, r *http.Request) error {
	d, err := s.source.BeginDrain(r.Context())
	if err != nil {
		s.log(r, 0, "result", "refused", "reason", err.Error())
		return &failure{code: http.StatusConflict, text: err.Error()}
	}
	s.log(r, 0, "result", "draining", "told", len(d.Told), "silent", d.Silent, "active", d.Active)
	s.write(w, http.StatusOK, d)
	return nil
}

func (s *Server) drain(w http.ResponseWriter, _ *http.Request) error {
	s.write(w, http.StatusOK, s.source.Drain())
	return nil
}

// gate answers a switch, which shows the words to people.
func (s *Server) gate(w http.ResponseWriter, _ *http.Request) error {
	if err := s.source.Gate(); err != nil {
		s.writeBytes(w, http.StatusServiceUnavailable, "text/plain; charset=utf-8", []byte(err.Error()+"\n"))
		return nil //nolint:nilerr // the answer says it
	}
	s.writeBytes(w, http.StatusOK, "text/plain; charset=utf-8", []byte("ready\n"))
	return nil
}
