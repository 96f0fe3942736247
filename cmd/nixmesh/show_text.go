package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// ruleText is which requests a route takes, as people read it.
func ruleText(host string, r mesh.Rule) string {
	parts := []string{host + pathText(r.Path)}
	if len(r.Methods) > 0 {
		parts = append(parts, strings.Join(r.Methods, ","))
	}
	for _, m := range r.Headers {
		parts = append(parts, "header "+matchText(m))
	}
	for _, m := range r.Cookies {
		parts = append(parts, "cookie "+matchText(m))
	}
	for _, m := range r.Query {
		parts = append(parts, "query "+matchText(m))
	}
	if len(r.From) > 0 {
		parts = append(parts, "from "+strings.Join(r.From, ","))
	}
	return strings.Join(parts, "  ")
}

// pathText is a path as the HCL writes it.
func pathText(p mesh.Path) string {
	if p.Kind == mesh.PathRegex {
		return "~" + p.Text
	}
	return p.Text
}

func matchText(m mesh.Match) string {
	not := ""
	if m.Not {
		not = "!"
	}
	switch m.Kind {
	case mesh.MatchPresent:
		return m.Name + "=" + not + "*"
	case mesh.MatchRegex:
		return m.Name + "=" + not + "~" + m.Text
	default:
		return m.Name + "=" + not + m.Text
	}
}

// actionText is what a route does with a request; to is where it leads when it
// says nothing else.
func actionText(h mesh.Handling, to string) string {
	switch {
	case h.Redirect != nil:
		return fmt.Sprintf("redirect to %s (%d)", h.Redirect.To, h.Redirect.Status)
	case h.Respond != nil:
		return fmt.Sprintf("respond %d", h.Respond.Status)
	case h.Rewrite != "":
		return to + ", rewritten to " + h.Rewrite
	default:
		return to
	}
}

func retryText(r *mesh.Retry) string {
	if r == nil {
		return "none"
	}
	return fmt.Sprintf("%d on %s", r.Attempts, strings.Join(r.On, ", "))
}

func shareText(split map[string]mesh.Percent) string {
	var parts []string
	for _, version := range sortedKeys(split) {
		parts = append(parts, version+" "+percentText(float64(split[version])))
	}
	return strings.Join(parts, ", ")
}

func percentText(p float64) string { return strconv.FormatFloat(p, 'f', -1, 64) + "%" }

// percentOf is a percentage that was written as a number, "" for anything else.
func percentOf(v any) string {
	switch v := v.(type) {
	case int64:
		return percentText(float64(v))
	case float64:
		return percentText(v)
	default:
		return ""
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// patienceText is a time of which zero is none.
func patienceText(d mesh.Duration) string {
	if d == 0 {
		return "none"
	}
	return spec.DurationText(d.D())
}
