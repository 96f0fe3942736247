package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/gossip"
	"github.com/nixmesh/nixmesh/controlplane/sync"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/trust"
)

// SyncPort is where agents take each other's connections.
const SyncPort = 7947

// Clock tells the time of day. It may be wrong, and it may jump.
type Clock interface {
	Now() time.Time
}

// Options is what New wants. What has no default must be given.
type Options struct {
	HostFile      string         // host.json; "" is hostfacts.Path
	StateDir      string         // the agent's own folder, 0700; made where it is missing
	RuntimeDir    string         // where api.sock is made, "" = no socket
	Listener      net.Listener   // the socket, where somebody opened it already; the agent closes it
	ProxyListener net.Listener   // the socket of this host's Envoy, in the same way: xds.sock of RuntimeDir
	RevokedFile   string         // keys of removed operators, "TYPE BASE64" a line; may be missing, "" = none
	NodeKey       trust.NodeKey  // this host's
	NodeCert      trust.NodeCert // of that key
	GossipKeys    [][]byte       // the first encrypts; none = no gossip, and a problem in the status
	Version       string         // of nixmesh, for people

	Clock   Clock          // nil: the machine's
	Logger  *slog.Logger   // nil: nothing is logged
	Network gossip.Network // nil: the machine's

	// Run makes one health check; nil: in this process, and commands by the units
	// that CheckSockets leads to.
	Run func(ctx context.Context, c hostfacts.Check) hostfacts.Result

	// Notify tells the service manager, in the words of sd_notify ("READY=1");
	// nil: nobody.
	Notify func(state string)

	Protocols  catalog.Protocols // between agents, zero = those of this release
	GossipPort uint16            // 0: gossip.DefaultPort; one for the whole fleet
	SyncPort   uint16            // 0: SyncPort; one for the whole fleet

	CheckSockets string // folder of the sockets of exec checks, "" = hostfacts.CheckSockets
	Cgroups      string // where cgroup2 is mounted; "" = every unit is taken to run
	System       string // link to the running toplevel, "" = /run/current-system
	Boot         string // names this boot of the machine, "" = not known
	Failed       bool   // the process before this one ended by a failure of its own, not by a signal from outside

	wire    sync.Wire // between agents, of simulations; nil = TLS
	noWatch bool      // of cgroups: a read that waits for the kernel would stop a simulation's clock
	bounds  bounds    // zero = the usual ones
}

// bounds are how long an agent waits for others. Tests on a machine that may be slow
// have longer ones.
type bounds struct {
	hollow, admin                    time.Duration
	drainSaid, drainTold, drainQuiet time.Duration
}

func usualBounds() bounds {
	return bounds{hollow: hollowTime, admin: adminTimeout, drainSaid: drainSaid, drainTold: drainTold, drainQuiet: drainQuiet}
}

// ownProtocols are those between agents that this release speaks.
var ownProtocols = catalog.Protocols{Min: 1, Max: 1}

func (o Options) complete() (Options, error) {
	switch {
	case o.StateDir == "":
		return o, errors.New("no state folder")
	case o.NodeCert.Key != o.NodeKey.Public():
		return o, fmt.Errorf("the node certificate of %s is of another node key", o.NodeCert.Host)
	case o.Protocols.Min > o.Protocols.Max:
		return o, fmt.Errorf("protocols %d to %d are no range", o.Protocols.Min, o.Protocols.Max)
	}
	setDefault(&o.HostFile, hostfacts.Path)
	setDefault(&o.System, "/run/current-system")
	setDefault(&o.GossipPort, gossip.DefaultPort)
	setDefault(&o.SyncPort, SyncPort)
	setDefault(&o.Protocols, ownProtocols)
	setDefault(&o.bounds, usualBounds())
	o.StateDir = filepath.Clean(o.StateDir)
	if o.Clock == nil {
		o.Clock = machineClock{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Network == nil {
		o.Network = gossip.Machine()
	}
	if o.Notify == nil {
		o.Notify = func(string) {}
	}
	return o, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// machineClock is this machine's.
type machineClock struct{}

func (machineClock) Now() time.Time { return time.Now() }
