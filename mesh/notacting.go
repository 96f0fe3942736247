package mesh

import (
	"fmt"
	"slices"
	"strings"
)

// NotActing says, one sentence each, what the configuration asks for and the data
// path does not do in this release, and what happens in its place. It is what an
// operator has to know before he relies on it; nothing else is passed over.
func (c *Config) NotActing() []string {
	list := c.gatewayNotActing()
	if c.Telemetry.OTLP != "" {
		list = append(list, "telemetry: otlp: no call is traced")
	}
	for _, name := range keys(c.Operators) {
		list = append(list, "operator "+name+": access: no operator has a certificate to call with")
	}
	for _, name := range keys(c.Services) {
		list = append(list, serviceNotActing("service "+name+": ", c.Services[name])...)
	}
	for _, name := range keys(c.Externals) {
		list = append(list, externalNotActing("external "+name+": ", c.Externals[name])...)
	}
	for _, caller := range keys(c.Edges) {
		for _, edge := range keys(c.Edges[caller]) {
			list = append(list, c.edgeNotActing(caller, edge)...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func serviceNotActing(what string, s *Service) (list []string) {
	if s.MTLS == "permissive" {
		list = append(list, what+"mtls permissive: calls in the clear go to the application itself, past Envoy, where it listens for them")
	}
	if s.Canary != nil {
		list = append(list, what+"canary: nothing moves the shares by its steps")
	}
	for i := range s.Routes {
		r := &s.Routes[i]
		if r.Limit != nil && r.Limit.Shared {
			list = append(list, what+"a shared limit of a route: each host of a caller counts by itself")
		}
		if slices.ContainsFunc(r.Query, func(m Match) bool { return m.Not && m.Kind == MatchRegex }) {
			list = append(list, fmt.Sprintf("%sroute %s: a query argument that must not match a pattern: the route takes nothing", what, r.Path.Text))
		}
	}
	for i := range s.Allows {
		if l := s.Allows[i].Limit; l != nil && l.Shared {
			list = append(list, what+"a shared limit of an allow: each of its hosts counts by itself")
		}
	}
	return list
}

func externalNotActing(what string, x *External) (list []string) {
	if len(x.Via) > 0 {
		list = append(list, what+"via: calls leave from the caller's own host")
	}
	if slices.ContainsFunc(x.Hosts, func(at Endpoint) bool { return strings.HasPrefix(at.Host, "*") }) {
		list = append(list, what+"hosts with *: nobody reaches them")
	}
	return list
}

// edgeNotActing is what an edge asks for that its protocol or its choice of
// instances has no place for.
func (c *Config) edgeNotActing(caller, name string) (list []string) {
	e, what := c.Edges[caller][name], caller+" to "+name+": "
	upstream, listen := SplitEdgeName(name)
	protocol, _, err := c.offered(upstream, listen)
	if err != nil {
		return nil
	}
	if x := c.Externals[upstream]; x != nil && x.TLS == "passthrough" {
		protocol = "tcp"
	}
	if e.SlowStart > 0 && e.LB != "least_request" && e.LB != "round_robin" {
		list = append(list, fmt.Sprintf("%sslow_start with %s: a new instance gets its whole share at once", what, e.LB))
	}
	if !isHTTP(protocol) {
		list = append(list, e.connectionNotActing(what)...)
		if e.Failover.Zones && c.severalZones() && c.Services[upstream].splits() {
			list = append(list, what+"failover zones: with several versions, connections go to all zones alike")
		}
	}
	for _, to := range e.Failover.To {
		other, otherListen := SplitEdgeName(to)
		if p, _, err := c.offered(other, otherListen); err != nil || c.Services[other] == nil || isHTTP(p) != isHTTP(protocol) {
			list = append(list, fmt.Sprintf("%sfailover to %s, which speaks another way: calls do not go there", what, to))
		}
	}
	return list
}

// splits says whether more than one version has a share.
func (s *Service) splits() bool {
	shares := 0
	if s != nil {
		for _, share := range s.Split {
			if share > 0 {
				shares++
			}
		}
	}
	return shares > 1
}

func (c *Config) severalZones() bool {
	zones := map[string]bool{}
	for _, h := range c.Hosts {
		zones[h.Zone] = true
	}
	return len(zones) > 1
}

// connectionNotActing is the same of connections that nobody looks into.
func (e *Edge) connectionNotActing(what string) (list []string) {
	if e.Timeout != nil && *e.Timeout > 0 {
		list = append(list, what+"timeout: a connection has no answer to wait for")
	}
	if r := e.Retry; r != nil && (len(r.On) > 1 || !slices.Contains(r.On, "connect")) {
		list = append(list, what+"retry: only a connection that was not made is tried again")
	}
	if e.Hash != "" && e.Hash != "source" {
		list = append(list, fmt.Sprintf("%shash by %s: a connection has none, so each goes anywhere", what, e.Hash))
	}
	return list
}
