package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// shownRoute is a route in the order of matching, with what acts for each caller.
type shownRoute struct {
	Match   string      `json:"match"`
	Place   string      `json:"place"`
	Action  string      `json:"action"`
	Callers []shownCall `json:"callers"`
}

// shownCall is the patience of one caller's calls on a route, and who says so.
type shownCall struct {
	Caller      string     `json:"caller"`
	Upstream    string     `json:"upstream,omitempty"` // of a gateway's route
	Timeout     shownValue `json:"timeout"`
	IdleTimeout shownValue `json:"idle_timeout"`
	Retry       shownValue `json:"retry"`
}

// shownValue is a value with where it comes from.
type shownValue struct {
	Value string `json:"value"`
	From  string `json:"from"`            // "route", "gateway route", "upstream", "default"
	Place string `json:"place,omitempty"` // "" with default
}

func (v shownValue) String() string {
	if v.Place == "" {
		return fmt.Sprintf("%s (%s)", v.Value, v.From)
	}
	return fmt.Sprintf("%s (%s, %s)", v.Value, v.From, v.Place)
}

// printRoutes prints the routes of a service or a gateway.
func (s *shower) printRoutes(a *app, name string) error {
	i := slices.IndexFunc(s.views, func(v *spec.View) bool {
		return v.Label == name && (v.Kind == "service" || v.Kind == "gateway")
	})
	if i < 0 {
		return s.unknown(name, "service", "gateway")
	}
	list := s.serviceRoutes
	if s.views[i].Kind == "gateway" {
		list = s.gatewayRoutes
	}
	routes := list(s.views[i])
	if a.isJSON() {
		return printJSON(a.stdout, map[string]any{"schema": "nixmesh.show/1", "kind": "route", "of": s.views[i].Kind, "name": name, "routes": routes})
	}
	style := a.style(a.stdout)
	if _, err := fmt.Fprintf(a.stdout, "%s  %s\n", style.Bold(fmt.Sprintf("%s %q", s.views[i].Kind, name)), style.Dim(where(s.views[i].Place))); err != nil {
		return err
	}
	for _, r := range routes {
		if err := r.print(a.stdout, style); err != nil {
			return err
		}
	}
	return nil
}

func (r shownRoute) print(w io.Writer, style term.Style) error {
	lines := []string{"", "  " + style.Bold(r.Match) + "  " + style.Dim(r.Place), "    " + r.Action}
	if len(r.Callers) > 0 {
		t := term.Table{Header: []string{"FROM", "TIMEOUT", "IDLE", "RETRY"}}
		for _, c := range r.Callers {
			from := c.Caller
			if c.Upstream != "" {
				from += " to " + c.Upstream
			}
			t.Add(from, c.Timeout.String(), c.IdleTimeout.String(), c.Retry.String())
		}
		for _, line := range t.Lines() {
			lines = append(lines, "    "+line)
		}
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

// serviceRoutes are a service's routes as its callers' proxies match them; what
// no route takes goes by the split.
func (s *shower) serviceRoutes(v *spec.View) []shownRoute {
	sv := s.mesh.Services[v.Label]
	callers := s.callersOf(v.Label)
	split := "to the service"
	if place := argPlace(v, "split"); len(sv.Split) > 0 {
		split = fmt.Sprintf("to %s (split, %s)", shareText(sv.Split), place)
	}
	rest := shownRoute{Match: "everything else", Place: where(v.Place), Action: split}
	if len(sv.Listens) == 0 {
		rest.Action = "never: it has no listen"
	} else if len(callers) == 0 {
		rest.Action = "refused: nobody names it as an upstream"
	}
	var routes []shownRoute
	written := s.serviceNamed(v.Label).OrderedRoutes() // as those of the mesh
	for i, r := range sv.Routes {
		at := routeAt(v, written[i].Place)
		to := split
		switch {
		case r.To != "":
			to = "to " + r.To
		case len(r.Split) > 0:
			to = "to " + shareText(r.Split)
		}
		out := shownRoute{Match: ruleText("", r.Rule), Place: where(at.Place), Action: actionText(r.Handling, to)}
		for _, edge := range callers {
			takes := len(r.From) == 0 || slices.Contains(r.From, edge.Caller)
			if takes && r.Redirect == nil && r.Respond == nil { // else nobody is waited for
				edge.Route = &r
				out.Callers = append(out.Callers, s.call(edge, at))
			}
		}
		routes = append(routes, out)
	}
	for _, edge := range callers {
		rest.Callers = append(rest.Callers, s.call(edge, nil))
	}
	return append(routes, rest)
}

// gatewayRoutes are a gateway's routes as its proxy matches them. What the
// callee's own routes say comes over it: see them.
func (s *shower) gatewayRoutes(v *spec.View) []shownRoute {
	var routes []shownRoute
	written := s.gatewayNamed(v.Label).OrderedRoutes() // as those of the mesh
	for i, r := range s.mesh.Gateways[v.Label].Routes {
		at := routeAt(v, written[i].Place)
		var targets []string
		for _, t := range r.Targets {
			target := strings.TrimSuffix(t.Service+"@"+t.Version, "@")
			if len(r.Targets) > 1 {
				target += " " + percentText(float64(t.Percent))
			}
			targets = append(targets, target)
		}
		out := shownRoute{Match: ruleText(r.Host, r.Rule), Place: where(at.Place), Action: actionText(r.Handling, "to "+strings.Join(targets, ", "))}
		for _, t := range r.Targets {
			out.Callers = append(out.Callers, s.call(mesh.Asked{Caller: v.Label, Upstream: t.Service, GatewayRoute: &r}, at))
		}
		routes = append(routes, out)
	}
	return append(routes, shownRoute{Match: "everything else", Place: where(v.Place), Action: "respond 404"})
}

// routeAt is the route block that stands at a place.
func routeAt(v *spec.View, place spec.Place) *spec.View {
	routes := views(v, "route")
	return routes[slices.IndexFunc(routes, func(r *spec.View) bool { return r.Place == place })]
}

// callersOf are the edges that lead to a service.
func (s *shower) callersOf(service string) []mesh.Asked {
	var edges []mesh.Asked
	for _, caller := range sortedKeys(s.mesh.Edges) {
		for _, edge := range sortedKeys(s.mesh.Edges[caller]) {
			if upstream, listen := mesh.SplitEdgeName(edge); upstream == service {
				edges = append(edges, mesh.Asked{Caller: caller, Upstream: upstream, Listen: listen})
			}
		}
	}
	return edges
}

// call resolves the patience of one edge; at is the route's block, nil = none.
func (s *shower) call(asked mesh.Asked, at *spec.View) shownCall {
	c := shownCall{Caller: asked.Caller}
	if asked.GatewayRoute != nil {
		c.Upstream = asked.Upstream
	}
	e, err := s.mesh.Resolve(asked)
	if err != nil {
		return c
	}
	value := func(name, text string, from mesh.Source) shownValue {
		v := shownValue{Value: text, From: string(from)}
		switch from {
		case mesh.FromRoute, mesh.FromGatewayRoute:
			v.Place = argPlace(at, name)
		case mesh.FromUpstream:
			v.Place = argPlace(s.upstreamView(asked.Caller, asked.Upstream), name)
		}
		return v
	}
	c.Timeout = value("timeout", patienceText(e.Timeout), e.TimeoutFrom)
	c.IdleTimeout = value("idle_timeout", patienceText(e.IdleTimeout), e.IdleTimeoutFrom)
	c.Retry = value("retry", retryText(e.Retry), e.RetryFrom)
	return c
}

// argPlace is where a block says something: the argument's line, or the line of
// the block of that name.
func argPlace(v *spec.View, name string) string {
	if v == nil {
		return ""
	}
	for _, a := range v.Args {
		if a.Name == name && a.Written() {
			return where(a.Place)
		}
	}
	for _, b := range views(v, name) {
		return where(b.Place)
	}
	return where(v.Place)
}

func (s *shower) upstreamView(caller, upstream string) *spec.View {
	for _, v := range s.views {
		if v.Kind != "service" || v.Label != caller {
			continue
		}
		for _, u := range views(v, "upstream") {
			if u.Label == upstream {
				return u
			}
		}
	}
	return nil
}

// views are the written blocks of a kind.
func views(v *spec.View, kind string) []*spec.View {
	var found []*spec.View
	for _, b := range v.Blocks {
		if b.Kind == kind && b.Place.Line > 0 {
			found = append(found, b)
		}
	}
	return found
}
