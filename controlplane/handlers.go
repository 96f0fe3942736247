package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/nixmesh/nixmesh/controlplane/ca"
	"github.com/nixmesh/nixmesh/controlplane/gossip"
	"github.com/nixmesh/nixmesh/controlplane/sync"
	"github.com/nixmesh/nixmesh/mesh"
)

// Methods of calls between agents. Their bodies stay as they are for as long as
// the lowest protocol number is spoken; what changes gets another name.
const (
	methodDocument  = "document"         // hash of a document -> its text
	methodNodes     = "nodes"            // JSON list of hosts -> JSON list of their node certificates
	methodChallenge = "ca/challenge"     // nothing -> a nonce
	methodIssue     = "ca/issue"         // JSON ca.SignedRequest -> ca.Answer
	methodGossip    = "gossip-keys"      // nothing -> JSON list of keys
	methodKnows     = "knows"            // EPOCH SEQ -> "known", when Envoy acts on what the asking host said up to then
	methodKeyNames  = "gossip-key-names" // nothing -> JSON list of the keys' fingerprints, the one in use first
)

func (a *Agent) syncOptions(listen netip.AddrPort) sync.Options {
	guarded := func(method string, h sync.Handler) sync.Handler {
		return func(ctx context.Context, from string, body []byte) (answer []byte, err error) {
			if len(body) == 0 {
				return h(ctx, from, body) // nothing in it is to blame, and everybody asks the same: sync survives it
			}
			err = a.poison.guard(method+" of "+from, func() []byte { return append([]byte(method+"\x00"), body...) }, func() error {
				answer, err = h(ctx, from, body)
				return err
			})
			return answer, err
		}
	}
	handlers := map[string]sync.Handler{
		methodDocument:  a.serveDocument,
		methodNodes:     a.serveNodes,
		methodChallenge: a.serveChallenge,
		methodIssue:     a.serveIssue,
		methodGossip:    a.serveGossipKeys,
		methodKeyNames:  a.serveKeyNames,
		methodKnows:     a.serveKnows,
	}
	for method, h := range handlers {
		handlers[method] = guarded(method, h)
	}
	return sync.Options{
		Host: a.host, Key: a.opts.NodeKey, Listen: listen,
		Network: a.opts.Network, Catalog: a.live, Nodes: a.nodes, Protocols: a.opts.Protocols,
		Handlers: handlers, OnPeer: a.onPeer, Clock: a.opts.Clock, Logger: a.logger, Wire: a.opts.wire,
	}
}

// onPeer notes that other hosts were heard of: what is shown is not only what
// was on disk.
func (a *Agent) onPeer(host string, connected bool) {
	a.logger.Debug("peer", "host", host, "connected", connected)
	if connected {
		a.heard.Store(true)
	}
}

func (a *Agent) gossipMeta() gossip.Meta {
	version := a.opts.Version
	if len(version) > gossip.MaxVersion {
		version = version[:gossip.MaxVersion]
	}
	return gossip.Meta{
		ProtocolMin: uint16(a.opts.Protocols.Min), ProtocolMax: uint16(a.opts.Protocols.Max),
		DataPort: a.opts.SyncPort, Epoch: a.live.number(), Version: version,
	}
}

var errNotHere = errors.New("this host does not have it")

func (a *Agent) serveDocument(_ context.Context, _ string, body []byte) ([]byte, error) {
	hash := string(body)
	if live := a.documents.live.Load(); live != nil && live.link.Hash == hash {
		return live.document.Canonical(), nil
	}
	if text := a.documents.shelf.find(func(d shelved) bool { return d.hash == hash }); text != nil {
		return text, nil
	}
	return nil, errNotHere
}

func (a *Agent) serveNodes(_ context.Context, _ string, body []byte) ([]byte, error) {
	var hosts []string
	if err := json.Unmarshal(body, &hosts); err != nil {
		return nil, fmt.Errorf("read names of hosts: %w", err)
	}
	return json.Marshal(a.nodes.texts(hosts[:min(len(hosts), nodesAtOnce)]))
}

func (a *Agent) serveChallenge(_ context.Context, from string, _ []byte) ([]byte, error) {
	if a.certificates.issuer == nil {
		return nil, errNotHere
	}
	return a.certificates.issuer.Challenge(from)
}

func (a *Agent) serveIssue(_ context.Context, _ string, body []byte) ([]byte, error) {
	if a.certificates.issuer == nil {
		return nil, errNotHere
	}
	var request ca.SignedRequest
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, fmt.Errorf("read certificate request: %w", err)
	}
	return a.certificates.issuer.Issue(request).Encode()
}

// serveGossipKeys hands the gossip keys to a host that slept through their
// rotation. Only authorities do: who they are the operators signed.
func (a *Agent) serveGossipKeys(_ context.Context, _ string, _ []byte) ([]byte, error) {
	live := a.documents.live.Load()
	if live == nil || !isAuthority(live.document.Config, a.host) {
		return nil, errNotHere
	}
	return json.Marshal(a.fleet.gossipKeys())
}

// serveKeyNames says which gossip keys this host opens, to hosts that would like
// to encrypt with another one.
func (a *Agent) serveKeyNames(context.Context, string, []byte) ([]byte, error) {
	return json.Marshal(keyNames(a.fleet.gossipKeys()))
}

func isAuthority(config *mesh.Config, host string) bool {
	return slices.Contains(config.CA.Authorities, host)
}
