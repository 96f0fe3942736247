package xds

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	inspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

const (
	handshakeTimeout = 10 * time.Second // for all of it

	bufferLimit = 1 << 20 // bytes of a connection that wait for the other side
)

// offer is one version of a listen of a service, where the configuration places it
// here and this host's facts say that it runs.
type offer struct {
	service, listen, version string

	runs     string  // the listen here whose copies and rules it has: itself, or its mesh.Service.Namesake
	protocol string  // that the copies speak
	copies   []place // at least one
}

// place is where one copy listens.
type place struct {
	hostfacts.Listen
	ill bool
}

func (o offer) name() string    { return mesh.EdgeName(o.service, o.listen) + at(o.version) }
func (o offer) cluster() string { return localCluster(o.service, o.listen, o.version) }
func (o offer) about() About    { return About{Service: o.service} }

// inbound builds what takes calls from the mesh to the services of this host: one
// listener, where the server name picks the chain. A listener without chains would
// not be accepted: a host that offers nothing has none.
func (b *builder) inbound() {
	var chains []*listenerv3.FilterChain
	needs := map[Key]bool{}
	ruled := map[string]bool{}
	for _, o := range b.offers() {
		b.local(o)
		if isHTTP(o.protocol) && !ruled[rulesExtension(o.service, o.listen)] {
			ruled[rulesExtension(o.service, o.listen)] = true
			b.rules(o)
			b.limits(o)
		}
		own, keys := b.chains(o)
		chains = append(chains, own...)
		for _, key := range keys {
			needs[key] = true
		}
	}
	host := b.in.Config.Hosts[b.in.Host]
	if len(chains) == 0 || host == nil || b.in.Config.TrustDomain == "" {
		return
	}
	b.add(Listener, InboundListener, inboundListener(host.Address, chains, refusedLog(logged{Side: logInbound})), About{},
		slices.SortedFunc(maps.Keys(needs), Key.Compare)...)
}

// inboundListener puts chains behind the port. All but the chains is the same for
// as long as the host has its address: a change of it would close everything.
func inboundListener(address string, chains []*listenerv3.FilterChain, log []*accessLog) *listenerv3.Listener {
	return &listenerv3.Listener{
		Name:             InboundListener,
		StatPrefix:       InboundListener,
		Address:          socketAddress(address, MeshPort),
		TrafficDirection: corev3.TrafficDirection_INBOUND,
		// What comes from outside must not use up the connections of the mesh.
		IgnoreGlobalConnLimit: true,
		ListenerFilters: []*listenerv3.ListenerFilter{{
			Name:       "envoy.filters.listener.tls_inspector",
			ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: Any(&inspectorv3.TlsInspector{})},
		}},
		ListenerFiltersTimeout:           durationpb.New(helloTimeout),
		ContinueOnListenerFiltersTimeout: false,
		PerConnectionBufferLimitBytes:    wrapperspb.UInt32(bufferLimit),
		EnableReusePort:                  wrapperspb.Bool(true),
		TcpKeepalive:                     keepalive(),
		FilterChains:                     chains,
		AccessLog:                        log,
	}
}

// offers are what this host offers, by name.
func (b *builder) offers() []offer {
	var offers []offer
	c := b.in.Config
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		s := c.Services[name]
		for _, v := range s.Versions {
			if !slices.Contains(v.Hosts, b.in.Host) {
				continue
			}
			for _, l := range s.Listens {
				o := offer{service: name, listen: l.Name, version: v.Name, runs: l.Name, protocol: l.Protocol}
				if b.copies(&o); len(o.copies) > 0 {
					offers = append(offers, o)
				}
			}
		}
	}
	slices.SortFunc(offers, func(x, y offer) int { return cmp.Compare(x.name(), y.name()) })
	return offers
}

// copies finds where the instances on this host listen. They may be of another release
// than the configuration: their listen may have got or lost its name, and of HTTP they
// may speak another kind, since between hosts all are the same. A chain is the same before
// and after that, and its connections stay. Where all are ill none is held back: whoever
// calls nevertheless has his reasons.
func (b *builder) copies(o *offer) {
	instances := b.instances(o.service, o.version)
	if other, ok := b.in.Config.Services[o.service].Namesake(o.listen); ok && !haveListen(instances, o.listen) {
		o.runs = other
	}
	wanted, unlike := o.protocol, ""
	for i, in := range instances {
		for _, l := range in.Listens {
			switch {
			case l.Name != o.runs:
			case isHTTP(l.Protocol) != isHTTP(wanted):
				unlike = l.Protocol
			default:
				o.protocol = l.Protocol
				o.copies = append(o.copies, place{l, b.in.Ill != nil && b.in.Ill(o.service, o.version, i+1)})
			}
		}
	}
	if unlike != "" {
		b.problem(Missing, o.about(), fmt.Sprintf("%s speaks %s on this host and %s in the mesh configuration: it is not offered", o.name(), unlike, wanted))
	}
	if !slices.ContainsFunc(o.copies, func(p place) bool { return !p.ill }) {
		for i := range o.copies {
			o.copies[i].ill = false
		}
	}
}

func haveListen(instances []hostfacts.Instance, listen string) bool {
	return slices.ContainsFunc(instances, func(in hostfacts.Instance) bool {
		return slices.ContainsFunc(in.Listens, func(l hostfacts.Listen) bool { return l.Name == listen })
	})
}

// instances are those of a version on this host, in the order of their units' names:
// by it their copies are numbered.
func (b *builder) instances(service, version string) []hostfacts.Instance {
	var own []hostfacts.Instance
	for _, in := range b.in.Facts.Instances {
		if in.Service == service && in.Version == version {
			own = append(own, in)
		}
	}
	slices.SortStableFunc(own, func(x, y hostfacts.Instance) int { return cmp.Compare(x.Unit, y.Unit) })
	return own
}

// chains are an offer's ways in: one for all callers of HTTP, whose requests are
// judged one by one, else one for each caller who may call.
func (b *builder) chains(o offer) ([]*listenerv3.FilterChain, []Key) {
	if isHTTP(o.protocol) {
		chain, needs := b.httpChain(o)
		return []*listenerv3.FilterChain{chain}, needs
	}
	var chains []*listenerv3.FilterChain
	var needs []Key
	for _, caller := range callersOf(b.in.Config, o.service, o.runs) {
		if b.in.Config.Allowed(mesh.Request{Caller: caller, Callee: o.service, Listen: o.runs}).Allowed {
			chain, keys := b.callerChain(o, caller)
			chains, needs = append(chains, chain), append(needs, keys...)
		}
	}
	return chains, needs
}

// match takes connections for an offer that say a protocol.
func (b *builder) match(o offer, protocol string) *listenerv3.FilterChainMatch {
	return &listenerv3.FilterChainMatch{
		TransportProtocol:    "tls",
		ServerNames:          []string{ServerName(b.in.Config.Domain, o.service, o.listen, o.version)},
		ApplicationProtocols: []string{protocol},
	}
}
