package api

import (
	"context"
	"io"

	"github.com/nixmesh/nixmesh/agentapi"
)

// Source is the agent. All methods may be called at once from many goroutines,
// and return soon: they read what the agent has.
type Source interface {
	Status() agentapi.Status
	Certs() agentapi.Certs

	// Endpoints are whom this host's callers reach, and Dump writes what its Envoy is
	// told, an agentapi.Dump in JSON: a part of agentapi.DumpParts, or "" for all but
	// Envoy's own. Envoy is asked within ctx.
	Endpoints(ctx context.Context) agentapi.Endpoints
	Dump(ctx context.Context, part string, w io.Writer) error

	// Document is the signed document of a configuration's hash, "" being the one
	// in force.
	Document(config string) ([]byte, bool)

	// Apply takes a signed document. ctx ends when the client is gone.
	Apply(ctx context.Context, document []byte, by Peer) agentapi.Applied

	// Override takes a signed override. An error is the reason why not.
	Override(ctx context.Context, override []byte, by Peer) error

	// AuthorityRequest is the request for this host's next intermediate; it fails
	// on a host that is no authority.
	AuthorityRequest() (agentapi.AuthorityRequest, error)
	InstallAuthority(pem []byte) error

	// Ready is nil when the agent serves from a mesh configuration, and this host's
	// Envoy, where it has one, listens as it was told.
	Ready() error

	// Gate is nil when a switch may be kept as far as Envoy goes.
	Gate() error

	// BeginDrain sends callers elsewhere, and Drain says how far that is.
	BeginDrain(ctx context.Context) (agentapi.Drain, error)
	Drain() agentapi.Drain

	// Metrics are those of the agent's parts: gossip, sync, catalog, files. What
	// Status and Certs tell is made of them here. Envoy is asked within ctx.
	Metrics(ctx context.Context) []Metric

	// Events begins a watch. The agent never waits for the receiver; the server
	// takes at once what comes. stop ends it, and may be called twice.
	Events() (events <-chan agentapi.Event, stop func())
}

// Peer is the process at the other end of a connection, as the kernel knows it
// from when it connected.
type Peer struct {
	UID, GID uint32
	PID      int32
}
