package gossip

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"

	"github.com/hashicorp/memberlist"
)

// DefaultPort is where agents gossip, UDP and TCP.
const DefaultPort = 7946

// ErrMesh is returned by New for a mesh without a name, or with one that is too long.
var ErrMesh = errors.New("name of the mesh")

// Options is what New wants. What has no default must be given.
type Options struct {
	Host string // this host's name
	Mesh string // name of the mesh: packets of another mesh are refused

	// Members is the address of every host of the mesh configuration, this one
	// included. A port of 0, for this host only, lets the machine choose.
	Members map[string]netip.AddrPort

	// Bind is where to listen; this host's address in Members when it is not
	// valid. Its port is taken from there. With an unspecified address the kernel
	// chooses what packets leave with, and the others take only the table's.
	Bind netip.Addr

	// Keys are the gossip keys, KeySize bytes each. The first encrypts, each opens.
	Keys [][]byte

	Meta Meta

	// OnEvent is called for every change of a member, OnHint for every hint, one
	// after the other and each in a goroutine of its own. Who takes long misses
	// hints, and of each host all events but the last. Both may be nil.
	OnEvent func(Event)
	OnHint  func(Hint)

	Logger  *slog.Logger // nil: nothing is logged
	Network Network      // nil: the machine's
}

// complete checks the options and fills in defaults.
func (o Options) complete() (Options, error) {
	if o.Mesh == "" || len(o.Mesh) > memberlist.LabelMaxSize {
		return o, fmt.Errorf("%w: %d bytes", ErrMesh, len(o.Mesh))
	}
	if err := o.Meta.check(); err != nil {
		return o, err
	}
	o.Members = maps.Clone(o.Members)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Network == nil {
		o.Network = machine{}
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	if o.OnHint == nil {
		o.OnHint = func(Hint) {}
	}
	return o, nil
}
