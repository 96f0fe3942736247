package mesh

import (
	"fmt"
	"slices"
	"strings"
)

// gateway follows the request through the gateway, and says whether it comes out
// at the callee.
func (e *explainer) gateway(g *Gateway) bool {
	x := e.x
	i := g.routeOf(x.Asked)
	if i < 0 {
		x.Verdict = refused(WhyNoRoute)
		e.line("gateway", "no route of %s takes it: 404", x.Asked.Caller)
		return false
	}
	r := &g.Routes[i]
	x.GatewayRoute = i
	if answer := answerText(r.Handling); answer != "" {
		return e.answered("gateway", r.Host+ruleText(r.Rule), answer)
	}
	at := slices.IndexFunc(r.Targets, func(t Target) bool { return t.Service == x.Asked.Callee })
	var targets []string
	for _, t := range r.Targets {
		targets = append(targets, fmt.Sprintf("%s (%v)", versionName(t.Service, t.Version), t.Percent))
	}
	e.line("gateway", "%s -> %s", r.Host+ruleText(r.Rule), strings.Join(targets, ", "))
	if at < 0 {
		x.Verdict = refused(WhyOther)
		return false
	}
	e.through, e.target = r, r.Targets[at]
	x.Received = r.through(x.Asked, r.Handling)
	return true
}

// routeOf is the gateway's route that takes a request, -1 for none. The host
// name decides first: the routes of its best name are all that count. Without
// one it is the first that leads to the callee.
func (g *Gateway) routeOf(r Request) int {
	best := ""
	for i := range g.Routes {
		route := &g.Routes[i]
		switch {
		case r.Host == "":
			leads := slices.ContainsFunc(route.Targets, func(t Target) bool { return t.Service == r.Callee })
			if leads && route.matches(r) {
				return i
			}
		case !hostMatches(route.Host, r.Host) || best != "" && best != route.Host:
		case route.matches(r):
			return i
		default:
			best = route.Host
		}
	}
	return -1
}

func hostMatches(pattern, host string) bool {
	suffix, wild := strings.CutPrefix(pattern, "*")
	return pattern == host || wild && strings.HasSuffix(host, suffix) && len(host) > len(suffix)
}
