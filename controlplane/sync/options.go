package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"regexp"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/trust"
)

// DefaultPort is where agents speak with each other, over TCP.
const DefaultPort = 7947

// ErrOptions is what New answers to options with which there is no exchange.
var ErrOptions = errors.New("options of the exchange")

// Catalog is this host's catalog. Its methods are called from many goroutines
// and are short.
type Catalog interface {
	// Digest is how far this host is.
	Digest(now time.Time) *catalog.Digest
	// OpenDigest reads a peer's digest and checks the peer's signature.
	OpenDigest(b []byte) (*catalog.Digest, error)
	// SealDigest writes a digest and signs it with the node key.
	SealDigest(d *catalog.Digest) ([]byte, error)
	// Delta is what the sender of a digest lacks, in at most about budget bytes.
	Delta(now time.Time, theirs *catalog.Digest, budget int) *catalog.Delta
	// Merge takes what a peer says; from is the proven name of the peer.
	Merge(now time.Time, from string, d *catalog.Delta) catalog.Result
}

// Nodes knows which node key is which host's.
type Nodes interface {
	// Admit checks a node certificate against the key that is pinned for the
	// host, refuses it when a newer one is known, and remembers the newest. It is
	// called for each connection that opens.
	Admit(host string, c trust.NodeCert) error
	// Own is this host's certificate.
	Own() trust.NodeCert
}

// Handler answers a Call of a host, whose name is proven. It may be called from
// many goroutines, at most MaxCalls at once for one host. The error's text goes
// to the caller; a panic is counted and told as an error that does not repeat
// what the panic said.
type Handler func(ctx context.Context, from string, body []byte) ([]byte, error)

// Options is what New wants. What has no default must be given.
type Options struct {
	Host   string         // this host's name
	Key    trust.NodeKey  // this host's own key
	Listen netip.AddrPort // where others find this host; connections leave from this address, too

	Catalog Catalog
	Nodes   Nodes
	Network Network // nil: the machine's

	// Protocols is the range of protocol numbers that this agent speaks.
	Protocols catalog.Protocols

	// Handlers answer Calls, by method: lower-case words with "/" and "-" between
	// them. Bodies have at most MaxBody bytes, answers MaxAnswer.
	Handlers map[string]Handler

	// OnPeer is called when this host's own connection to a peer is up, and when
	// it is gone: for one peer in turn, for different peers at once. It must not
	// call Stop or SetHosts. It may be nil.
	OnPeer func(host string, connected bool)

	Clock  interface{ Now() time.Time } // nil: the machine's
	Logger *slog.Logger                 // nil: nothing is logged

	// Wire is for simulations of more hosts than there is room for with TLS: see
	// the package's comment. nil is TLS 1.3, which agents use.
	Wire Wire
}

var methodForm = regexp.MustCompile(`^[a-z0-9]+([/-][a-z0-9]+)*$`)

// complete checks the options and fills in defaults.
func (o Options) complete() (Options, error) {
	switch {
	case o.Host == "":
		return o, fmt.Errorf("%w: no host", ErrOptions)
	case !o.Listen.IsValid():
		return o, fmt.Errorf("%w: no address to listen at", ErrOptions)
	case o.Catalog == nil || o.Nodes == nil:
		return o, fmt.Errorf("%w: catalog and nodes have to be given", ErrOptions)
	case o.Protocols.Min < 1 || o.Protocols.Max < o.Protocols.Min:
		return o, fmt.Errorf("%w: protocols %d to %d", ErrOptions, o.Protocols.Min, o.Protocols.Max)
	}
	for method, h := range o.Handlers {
		if !methodForm.MatchString(method) || h == nil {
			return o, fmt.Errorf("%w: method %q", ErrOptions, method)
		}
	}
	o.Handlers = maps.Clone(o.Handlers)
	if o.Network == nil {
		o.Network = machine{}
	}
	if o.Wire == nil {
		if o.Nodes.Own().Key != o.Key.Public() {
			return o, fmt.Errorf("%w: the node certificate is of another key", ErrOptions)
		}
		o.Wire = newTLSWire(o.Key, o.Nodes.Own)
	}
	if o.OnPeer == nil {
		o.OnPeer = func(string, bool) {}
	}
	if o.Clock == nil {
		o.Clock = machineClock{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

type machineClock struct{}

func (machineClock) Now() time.Time { return time.Now() }
