package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

// Requests of agents.
const (
	pathHello   = "/hello"   // hello -> hello; the first one of a connection
	pathPush    = "/push"    // deltas, as they come -> nothing, until the stream ends
	pathCompare = "/compare" // hash of all that is known -> nothing where it is the same, else the digest
	pathTrade   = "/trade"   // digest, delta -> digest, delta
	pathCall    = "/call/"   // body -> answer
)

// Bounds of what is served.
const (
	maxExchanges = 4       // at once, of all hosts
	hostTrades   = 2       // of one host: it has one at a time, and perhaps one on a connection that is gone
	maxServed    = 32      // calls at once, of all hosts
	maxText      = 4 << 10 // bytes of the text of a refusal
)

var (
	errBusy = errors.New("too much to answer at once")
	errTurn = errors.New("hello comes first, and once")
)

type connKey struct{}

func (s *Sync) newServer() *http.Server {
	return &http.Server{
		Protocols:         http2Only(),
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: shakeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.opts.Logger.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return s.life },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			MaxReadFrameSize:     frameSize, MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connWindow,
			MaxDecoderHeaderTableSize: headerTable, MaxEncoderHeaderTableSize: headerTable,
			SendPingTimeout: pingAfterIn, PingTimeout: pingTimeout, WriteByteTimeout: pingAfter + pingTimeout,
		},
	}
}

// declined is an answer that says no.
type declined struct {
	status int
	err    error
}

func (r *declined) Error() string { return r.err.Error() }

// bad is a refusal of what the peer should not have sent.
func bad(err error) error { return &declined{http.StatusBadRequest, err} }

// serve answers one request of a peer.
func (s *Sync) serve(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		decline(w, http.StatusServiceUnavailable, "the agent stops")
		return
	}
	defer s.work.Done()
	c := r.Context().Value(connKey{}).(*conn)
	answer, err := s.answer(w, r, c)
	var no *declined
	switch {
	case err == nil:
		_, _ = w.Write(answer) // that it fails, the peer learns from the connection
	case errors.As(err, &no):
		switch no.status {
		case http.StatusBadRequest:
			s.refusals.Add(BadRequest, c.host, err)
		case http.StatusTooManyRequests:
			s.refusals.Add(TooMany, c.host, err)
		}
		decline(w, no.status, no.Error())
	default:
		decline(w, http.StatusInternalServerError, err.Error())
	}
}

// decline answers with a text that says why not.
func decline(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	_, _ = w.Write([]byte(strings.ToValidUTF8(text[:min(len(text), maxText)], "")))
}

func (s *Sync) answer(w http.ResponseWriter, r *http.Request, c *conn) ([]byte, error) {
	if r.Method != http.MethodPost {
		return nil, bad(fmt.Errorf("method %.20q", r.Method))
	}
	if first := c.common.Load() == 0; first != (r.URL.Path == pathHello) {
		return nil, bad(errTurn)
	}
	if r.URL.Path == pathPush {
		s.servePush(w, r, c)
		return nil, nil
	}
	// A peer that sends or takes an answer slowly keeps nothing busy for long.
	until := time.Now().Add(answerTimeout)
	method, isCall := strings.CutPrefix(r.URL.Path, pathCall)
	if isCall {
		until = time.Now().Add(CallTimeout)
	}
	out := http.NewResponseController(w)
	if err := errors.Join(out.SetReadDeadline(until), out.SetWriteDeadline(until)); err != nil {
		return nil, fmt.Errorf("bound the request: %w", err)
	}
	ctx, cancel := context.WithDeadline(r.Context(), until)
	defer cancel()
	r = r.WithContext(ctx)
	switch {
	case isCall:
		return s.serveCall(r, c, method)
	case r.URL.Path == pathHello:
		return s.serveHello(r, c)
	case r.URL.Path == pathCompare:
		return s.serveCompare(w, r)
	case r.URL.Path == pathTrade:
		return s.serveTrade(r, c)
	}
	return nil, &declined{http.StatusNotFound, fmt.Errorf("nothing is at %.80q", r.URL.Path)}
}

func (s *Sync) serveHello(r *http.Request, c *conn) ([]byte, error) {
	b, err := readBody(r.Body, maxHello)
	if err != nil {
		return nil, bad(err)
	}
	theirs, err := readHello(b)
	if err != nil {
		return nil, bad(err)
	}
	s.heard(c.host, theirs)
	if common, ok := s.opts.Protocols.Common(theirs.protocols); ok {
		c.common.Store(common)
		s.mu.Lock()
		if p := s.peers[c.host]; p != nil {
			s.encourage(p)
		}
		s.mu.Unlock()
	} else {
		s.refusals.Add(WrongProtocol, c.host, &errNoCommon{s.opts.Protocols, theirs.protocols})
	}
	return hello{s.opts.Protocols, s.instance}.encode(), nil
}

// heard takes what a host says of itself. A link to an agent that has been
// started anew since is closed: nobody is at its other end.
func (s *Sync) heard(host string, h hello) {
	s.mu.Lock()
	p := s.peers[host]
	if p == nil {
		s.mu.Unlock()
		return
	}
	p.theirs = h.protocols
	s.mixed = s.hasMixed()
	stale := p.link
	if stale != nil && stale.theirs.instance == h.instance {
		stale = nil
	}
	s.mu.Unlock()
	if stale != nil {
		stale.cut()
	}
}

// hasMixed says whether some hosts have no protocol in common, so that changes
// reach one from the other only through others. It wants s.mu held.
func (s *Sync) hasMixed() bool {
	all := s.opts.Protocols
	for _, p := range s.peers {
		if p.theirs != (catalog.Protocols{}) {
			all.Min, all.Max = max(all.Min, p.theirs.Min), min(all.Max, p.theirs.Max)
		}
	}
	return all.Min > all.Max
}
