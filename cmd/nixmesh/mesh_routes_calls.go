package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/mesh"
)

// callsOf are the calls to a service or external, "" for all, by upstream, then
// by caller.
func callsOf(c *mesh.Config, service, from string) []meshCall {
	calls := []meshCall{}
	for _, caller := range sortedKeys(c.Edges) {
		if from != "" && from != caller {
			continue
		}
		for _, edge := range sortedKeys(c.Edges[caller]) {
			if upstream, _ := mesh.SplitEdgeName(edge); service == "" || upstream == service {
				calls = append(calls, callOf(c, caller, edge))
			}
		}
	}
	for _, operator := range sortedKeys(c.Operators) {
		name := "operator/" + operator
		for _, upstream := range c.Operators[operator].Access {
			if (service == "" || upstream == service) && (from == "" || from == name) {
				calls = append(calls, meshCall{Caller: name, Kind: "operator", Upstream: upstream})
			}
		}
	}
	slices.SortStableFunc(calls, func(a, b meshCall) int { return strings.Compare(a.Upstream, b.Upstream) })
	return calls
}

// callOf is what one edge lets pass, and how.
func callOf(c *mesh.Config, caller, edge string) meshCall {
	how := c.Edges[caller][edge]
	upstream, listen := mesh.SplitEdgeName(edge)
	call := meshCall{Caller: caller, Kind: "service", Upstream: edge, LB: how.LB, Failover: how.Failover.To}
	if c.Gateways[caller] != nil {
		call.Kind = "gateway"
	}
	s := c.Services[upstream]
	asked := mesh.Asked{Caller: caller, Upstream: upstream, Listen: listen}
	if s == nil {
		x := c.Externals[upstream]
		call.Protocol = x.Protocol
		rest := routeOf(c, asked, "*")
		for _, at := range x.Hosts {
			rest.To = append(rest.To, meshShare{fmt.Sprintf("%s:%d", at.Host, at.Port), 100 / mesh.Percent(len(x.Hosts))})
		}
		call.Routes = append(call.Routes, rest)
		return call
	}
	if l := s.Listen(listen); l != nil {
		call.Protocol = l.Protocol
	}
	call.May = mayOf(s, caller, listen)
	if g := c.Gateways[caller]; g != nil {
		call.Routes = throughGateway(c, g, asked)
	}
	http := call.Protocol == "http" || call.Protocol == "http2" || call.Protocol == "grpc"
	if http {
		for i := range s.Routes {
			r := &s.Routes[i]
			if len(r.From) > 0 && !slices.Contains(r.From, caller) {
				continue
			}
			asked.Route = r
			rule := r.Rule
			rule.From = nil // it is the line's own
			route := routeOf(c, asked, ruleText("", rule))
			if call.Kind == "gateway" {
				route.Match = "then " + route.Match
			}
			route.Action = answerOf(r.Handling)
			route.To = sharesOf(s, upstream, r.To, r.Split)
			call.Routes = append(call.Routes, route)
		}
		asked.Route = nil
	}
	if call.Kind != "gateway" || !http {
		rest := routeOf(c, asked, "*")
		rest.To = sharesOf(s, upstream, "", nil)
		call.Routes = append(call.Routes, rest)
	}
	return call
}

// throughGateway are the routes of a gateway that lead to a service.
func throughGateway(c *mesh.Config, g *mesh.Gateway, asked mesh.Asked) (routes []meshRoute) {
	for i := range g.Routes {
		r := &g.Routes[i]
		for _, target := range r.Targets {
			if target.Service != asked.Upstream {
				continue
			}
			asked.GatewayRoute = r
			route := routeOf(c, asked, ruleText(r.Host, r.Rule))
			if r.Rewrite != "" {
				route.Match += " -> " + r.Rewrite
			}
			route.To = sharesOf(c.Services[asked.Upstream], asked.Upstream, target.Version, nil)
			for n := range route.To {
				route.To[n].Percent = route.To[n].Percent * target.Percent / 100
			}
			routes = append(routes, route)
		}
	}
	return routes
}

// routeOf has what acts on a kind of calls, and who says so.
func routeOf(c *mesh.Config, asked mesh.Asked, match string) meshRoute {
	r := meshRoute{Match: match}
	e, err := c.Resolve(asked)
	if err != nil {
		return r // of an edge that is there
	}
	r.Timeout = shownValue{Value: patienceText(e.Timeout), From: string(e.TimeoutFrom)}
	r.IdleTimeout = shownValue{Value: patienceText(e.IdleTimeout), From: string(e.IdleTimeoutFrom)}
	r.Retry = shownValue{Value: retryText(e.Retry), From: string(e.RetryFrom)}
	return r
}

// sharesOf are the versions that requests go to: of a route, else of the split;
// without one the first version has all.
func sharesOf(s *mesh.Service, name, to string, split map[string]mesh.Percent) []meshShare {
	switch {
	case to != "":
		split = map[string]mesh.Percent{to: 100}
	case len(split) == 0 && len(s.Split) > 0:
		split = s.Split
	case len(split) == 0:
		split = map[string]mesh.Percent{s.Versions[0].Name: 100}
	}
	var shares []meshShare
	for _, v := range s.Versions {
		if split[v.Name] > 0 {
			shares = append(shares, meshShare{strings.TrimSuffix(name+"@"+v.Name, "@"), split[v.Name]})
		}
	}
	return shares
}

// answerOf is what a route does with requests that it does not send on.
func answerOf(h mesh.Handling) string {
	if h.Redirect == nil && h.Respond == nil {
		return ""
	}
	return actionText(h, "")
}

// mayOf is what a service's allows admit of a caller, nothing where they narrow
// nothing.
func mayOf(s *mesh.Service, caller, listen string) (list []string) {
	for _, allow := range s.Allows {
		if allow.Caller != caller || allow.Listen != "" && allow.Listen != listen {
			continue
		}
		var parts []string
		if len(allow.Methods) > 0 {
			parts = append(parts, strings.Join(allow.Methods, ","))
		}
		for _, p := range allow.Paths {
			parts = append(parts, pathText(p))
		}
		for _, m := range allow.Headers {
			parts = append(parts, "header "+matchText(m))
		}
		if len(parts) == 0 {
			parts = []string{"everything"}
		}
		if allow.Shadow {
			parts = append(parts, "(counted, not refused)")
		}
		list = append(list, strings.Join(parts, " "))
	}
	return list
}
