package spec

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
)

// Edge is one permission to call, as the spec declares it: nothing else may be
// called in the mesh.
type Edge struct {
	Caller       string
	CallerKind   string // "service", "gateway", "operator"
	Upstream     string
	UpstreamKind string    // "service", "external"
	Listen       *Listen   // of the service; nil for an external
	Ports        []int     // as the caller says them; none for gateways and operators
	Settings     *Upstream // how the caller calls; nil for gateways and operators
	Place        Place     // what declares it
}

// Edges are all edges of the fleet, each once, by caller, upstream and listen.
// They come from upstreams; from the routes, mirrors, TCP listens and auths of
// gateways; and from the access of operators.
func (f *Fleet) Edges() []Edge {
	g := newGraph(f)
	for _, s := range f.Services {
		for _, u := range s.Upstreams {
			g.add(Edge{Caller: s.Name, CallerKind: "service", Upstream: u.Name, Settings: u, Place: u.Place}, u.Listen)
		}
	}
	for _, gateway := range f.Gateways {
		g.gateway(f, gateway)
	}
	for _, o := range f.Operators {
		for _, name := range o.Access {
			g.add(Edge{Caller: o.Name, CallerKind: "operator", Upstream: name, Place: o.Place}, "")
		}
	}
	slices.SortStableFunc(g.edges, compareEdges)
	return slices.CompactFunc(g.edges, func(a, b Edge) bool { return compareEdges(a, b) == 0 })
}

func compareEdges(a, b Edge) int {
	return cmp.Or(cmp.Compare(a.CallerKind, b.CallerKind), cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.listen(), b.listen()))
}

// graph gathers edges among what exists.
type graph struct {
	services  map[string]*Service
	externals map[string]*External
	edges     []Edge
}

func newGraph(f *Fleet) *graph {
	g := &graph{services: map[string]*Service{}, externals: map[string]*External{}}
	for _, s := range f.Services {
		g.services[s.Name] = s
	}
	for _, e := range f.Externals {
		g.externals[e.Name] = e
	}
	return g
}

// add appends an edge to what exists; an unknown upstream or listen has none.
// Unless the edge has a listen, it is looked up by name, "" for the first.
func (g *graph) add(e Edge, listen string) {
	fixed := 0
	if e.Settings != nil {
		fixed = e.Settings.Port
	}
	if s := g.services[e.Upstream]; s != nil {
		if e.Listen == nil {
			e.Listen = s.Listen(listen)
		}
		if e.Listen == nil {
			return
		}
		e.UpstreamKind = "service"
		if e.CallerKind == "service" {
			e.Ports = callerPorts(fixed, e.Listen.Protocol, e.Listen.Port)
		}
		g.edges = append(g.edges, e)
	} else if x := g.externals[e.Upstream]; x != nil && e.CallerKind != "operator" {
		e.UpstreamKind = "external"
		if e.CallerKind == "service" {
			e.Ports = x.callerPorts(fixed)
		}
		g.edges = append(g.edges, e)
	}
}

// gateway adds what a gateway calls.
func (g *graph) gateway(f *Fleet, gateway *Gateway) {
	for _, c := range gateway.calls() {
		if s := g.services[c.upstream]; s != nil {
			if l := s.listenFor(c.tcp); l != nil { // else nothing fits: NM0416
				g.add(Edge{Caller: gateway.Name, CallerKind: "gateway", Upstream: c.upstream, Listen: l, Place: c.place}, "")
			}
		}
	}
	for _, a := range gateway.Auths {
		if e := f.KeysFrom(a); e != nil {
			g.add(Edge{Caller: gateway.Name, CallerKind: "gateway", Upstream: e.Name, Place: a.Place}, "")
		}
	}
}

// listen is the name of the edge's listen, "" without.
func (e Edge) listen() string {
	if e.Listen == nil {
		return ""
	}
	return e.Listen.Name
}

// callerPorts are 80 and the listen's own for HTTP, and the listen's own for the
// rest; a port of the upstream block replaces them.
func callerPorts(fixed int, protocol string, own int) []int {
	switch {
	case fixed != 0:
		return []int{fixed}
	case !isHTTP(protocol):
		return []int{own}
	case own == 0 || own == 80:
		return []int{80}
	default:
		return []int{80, own}
	}
}

// callerPorts are the same for an external. Where its TLS goes through, they are
// those of all hosts: TLS tells which of them is meant. Else its port is that of
// the first host, which over HTTP no caller says if TLS begins on its way.
func (e *External) callerPorts(fixed int) []int {
	var ports []int
	for _, h := range e.Hosts {
		ports = append(ports, h.Port)
	}
	switch {
	case len(ports) == 0 || e.TLS == "originate" && isHTTP(e.Protocol):
		return callerPorts(fixed, e.Protocol, 0)
	case e.TLS == "passthrough" && fixed == 0:
		return slices.Compact(slices.Sorted(slices.Values(ports)))
	default:
		return callerPorts(fixed, e.Protocol, ports[0])
	}
}

// isHTTP says whether the mesh sees requests, and not connections only.
func isHTTP(protocol string) bool {
	return protocol == "http" || protocol == "http2" || protocol == "grpc"
}

// mayBeHTTP is isHTTP of a protocol that may have been refused, which is "".
func mayBeHTTP(protocol string) bool { return protocol == "" || isHTTP(protocol) }

// call is one thing that a gateway calls.
type call struct {
	upstream string
	tcp      bool
	place    Place
}

// calls are the services that a gateway calls, in the order of the file.
func (g *Gateway) calls() []call {
	var calls []call
	add := func(upstream string, tcp bool, place Place) {
		if upstream != "" {
			calls = append(calls, call{upstream, tcp, place})
		}
	}
	for _, l := range g.Listens {
		add(l.To, true, l.Place)
	}
	for _, a := range g.Auths {
		add(a.Service, false, a.Place)
	}
	for _, r := range g.Routes {
		add(r.Service, false, r.Place)
		for _, t := range r.Targets {
			add(t.Service, false, r.Place)
		}
		if r.Mirror != nil {
			add(r.Mirror.Service, false, r.Mirror.Place)
		}
	}
	return calls
}

// called are the names of the services that a gateway calls.
func (g *Gateway) called() []string {
	var names []string
	for _, c := range g.calls() {
		names = append(names, c.upstream)
	}
	return names
}

func (s *Service) upstreamNames() []string {
	var names []string
	for _, u := range s.Upstreams {
		names = append(names, u.Name)
	}
	return names
}

// listenFor is the first listen of a service that a gateway can call: for its
// routes one that speaks HTTP, for a TCP port one that does not.
func (s *Service) listenFor(tcp bool) *Listen {
	for _, l := range s.Listens {
		if l.Protocol == "" || isHTTP(l.Protocol) != tcp {
			return l
		}
	}
	return nil
}

// KeysFrom is the external that an auth takes the keys of tokens from, nil if
// they are a file, or at no external. It is known by its hosts, or by the name of
// its server: in the lab, another answers to that.
func (f *Fleet) KeysFrom(a *Auth) *External {
	u, err := url.Parse(a.JWKS)
	if err != nil || u.Host == "" {
		return nil
	}
	port, _ := strconv.Atoi(portOf(u))
	for _, e := range f.Externals {
		if slices.Contains(e.Hosts, Endpoint{Host: u.Hostname(), Port: port}) || e.ServerName != "" && e.ServerName == u.Hostname() {
			return e
		}
	}
	return nil
}

// portOf is the port of a URL.
func portOf(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"https": "443", "http": "80"}[u.Scheme])
}
