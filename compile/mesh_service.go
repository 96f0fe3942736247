package compile

import (
	"cmp"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

func meshService(s *spec.Service) *mesh.Service {
	out := &mesh.Service{
		Instances: s.Instances, Split: meshShares(s.Split), Sticky: s.Sticky,
		Connections: s.Limits.Connections, MTLS: s.MTLS,
	}
	for _, l := range s.Listens {
		out.Listens = append(out.Listens, mesh.Listen{Name: l.Name, Protocol: l.Protocol})
	}
	for _, v := range s.Variants() {
		out.Versions = append(out.Versions, mesh.Version{Name: v.Name, Hosts: v.On})
	}
	if c := s.Canary; c != nil {
		out.Canary = &mesh.Canary{
			Every: mesh.Duration(c.Every), MinSuccess: mesh.Percent(c.MinSuccess), MaxP99: positive(c.MaxP99), MinRequests: c.MinRequests,
		}
		for _, step := range c.Steps {
			out.Canary.Steps = append(out.Canary.Steps, mesh.Percent(step))
		}
	}
	for _, a := range s.Allows {
		out.Allows = append(out.Allows, meshAllow(a))
	}
	slices.SortStableFunc(out.Allows, func(a, b mesh.Allow) int { return strings.Compare(a.Caller, b.Caller) })
	for _, r := range s.OrderedRoutes() {
		route := mesh.Route{Rule: meshRule(r), To: r.To, Split: meshShares(r.Split), Handling: meshHandling(r)}
		if m := r.Mirror; m != nil {
			route.Mirror = &mesh.Mirror{Version: m.To, Percent: mesh.Percent(m.Percent)}
		}
		out.Routes = append(out.Routes, route)
	}
	return out
}

func meshAllow(a *spec.Allow) mesh.Allow {
	out := mesh.Allow{
		Caller: a.Caller, Listen: a.Listen, Methods: a.Methods, Headers: meshMatches(a.Headers),
		Shadow: a.Shadow, Limit: meshLimit(a.Limit),
	}
	for _, p := range a.Paths {
		out.Paths = append(out.Paths, mesh.Path{Kind: p.Kind, Text: p.Text})
	}
	slices.SortFunc(out.Paths, func(a, b mesh.Path) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Text, b.Text))
	})
	return out
}

func meshRule(r *spec.Route) mesh.Rule {
	return mesh.Rule{
		Path: mesh.Path{Kind: r.Path.Kind, Text: r.Path.Text}, From: r.From, Methods: r.Methods,
		Headers: meshMatches(r.Headers), Cookies: meshMatches(r.Cookies), Query: meshMatches(r.Query),
	}
}

func meshHandling(r *spec.Route) mesh.Handling {
	h := mesh.Handling{
		Patience: mesh.Patience{Timeout: optional(r.Timeout), IdleTimeout: optional(r.IdleTimeout), Retry: meshRetry(r.Retry)},
		Sticky:   r.Sticky, Rewrite: r.Rewrite,
		Request: meshHeaders(r.Request), Response: meshHeaders(r.Response), Limit: meshLimit(r.Limit),
	}
	if r.Redirect != nil {
		h.Redirect = &mesh.Redirect{To: r.Redirect.To, Status: r.Redirect.Status}
	}
	if r.Respond != nil {
		h.Respond = &mesh.Respond{Status: r.Respond.Status, Body: r.Respond.Body}
	}
	return h
}

func meshMatches(rules []spec.Match) []mesh.Match {
	var out []mesh.Match
	for _, m := range rules {
		out = append(out, mesh.Match{Name: m.Name, Kind: m.Kind, Text: m.Text, Not: m.Not})
	}
	slices.SortStableFunc(out, func(a, b mesh.Match) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func meshShares(split map[string]float64) map[string]mesh.Percent {
	if split == nil {
		return nil
	}
	out := map[string]mesh.Percent{}
	for version, share := range split {
		out[version] = mesh.Percent(share)
	}
	return out
}

func meshHeaders(h spec.HeaderChange) *mesh.HeaderChange {
	if len(h.Set) == 0 && len(h.Remove) == 0 {
		return nil
	}
	return &mesh.HeaderChange{Set: h.Set, Remove: h.Remove}
}

func meshLimit(l *spec.Limit) *mesh.Limit {
	if l == nil {
		return nil
	}
	return &mesh.Limit{Count: l.Rate.Count, Per: mesh.Duration(l.Rate.Per), Burst: l.Burst, By: l.By, Shared: l.Shared}
}

func meshRetry(r *spec.Retry) *mesh.Retry {
	if r == nil {
		return nil
	}
	return &mesh.Retry{
		Attempts: r.Attempts, On: r.On, PerTry: optional(r.PerTry),
		Backoff: mesh.Duration(r.Backoff), Budget: mesh.Percent(r.Budget), Hedge: r.Hedge,
	}
}
