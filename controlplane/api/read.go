package api

import (
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/agentapi"
)

func (s *Server) status(w http.ResponseWriter, _ *http.Request) error {
	s.write(w, http.StatusOK, s.source.Status())
	return nil
}

func (s *Server) certs(w http.ResponseWriter, _ *http.Request) error {
	s.write(w, http.StatusOK, s.source.Certs())
	return nil
}

func (s *Server) document(w http.ResponseWriter, r *http.Request) error {
	config := r.URL.Query().Get("config")
	if config != "" && !isHash(config) {
		return &failure{code: http.StatusBadRequest, text: "config is not the hash of a mesh configuration"}
	}
	document, ok := s.source.Document(config)
	switch {
	case !ok && config == "":
		return &failure{code: http.StatusNotFound, text: "this host has no mesh configuration yet", next: "nixmesh mesh apply"}
	case !ok:
		return &failure{code: http.StatusNotFound, text: "this host does not keep that mesh configuration"}
	}
	s.writeBytes(w, http.StatusOK, "application/json", document)
	return nil
}

func (s *Server) authorityRequest(w http.ResponseWriter, _ *http.Request) error {
	request, err := s.source.AuthorityRequest()
	if err != nil {
		return &failure{code: http.StatusNotFound, text: err.Error()}
	}
	s.write(w, http.StatusOK, request)
	return nil
}

func (s *Server) endpoints(w http.ResponseWriter, r *http.Request) error {
	s.write(w, http.StatusOK, s.source.Endpoints(r.Context()))
	return nil
}

func (s *Server) dump(w http.ResponseWriter, r *http.Request) error {
	part := r.URL.Query().Get("part")
	if part != "" && !slices.Contains(agentapi.DumpParts(), part) {
		return &failure{code: http.StatusBadRequest, text: "there is no part " + short(part) + "; parts are " + strings.Join(agentapi.DumpParts(), ", ")}
	}
	return s.stream(w, func(w io.Writer) error { return s.source.Dump(r.Context(), part, w) })
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) error {
	ready := s.source.Ready() == nil
	ms := statusMetrics(s.source.Status(), ready)
	ms = append(ms, certMetrics(s.source.Certs())...)
	ms = append(ms, processMetrics()...)
	ms = append(ms, s.source.Metrics(r.Context())...)
	ms = append(ms, s.counts.metrics()...)
	s.writeBytes(w, http.StatusOK, "text/plain; version=0.0.4; charset=utf-8", render(ms))
	return nil
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) error {
	if err := s.source.Ready(); err != nil {
		return &failure{code: http.StatusServiceUnavailable, text: err.Error()}
	}
	s.write(w, http.StatusOK, agentapi.Ready{Ready: true})
	return nil
}

// isHash says whether a text is a SHA-256 as it is written everywhere.
func isHash(text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && len(b) == 32 && hex.EncodeToString(b) == text
}
