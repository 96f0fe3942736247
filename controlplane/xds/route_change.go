package xds

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/nixmesh/nixmesh/mesh"
)

// answer is what a route answers by itself, nil where its requests go on. A
// redirect is an answer like others: so it has any status, and its place is
// exactly what the configuration says.
func answer(h mesh.Handling) *routev3.Route_DirectResponse {
	response := &routev3.DirectResponseAction{}
	switch {
	case h.Redirect != nil:
		response.Status = uint32(h.Redirect.Status)
	case h.Respond != nil:
		response.Status = uint32(h.Respond.Status)
		if h.Respond.Body != "" {
			response.Body = &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: h.Respond.Body}}
		}
	default:
		return nil
	}
	return &routev3.Route_DirectResponse{DirectResponse: response}
}

// change makes a route change the requests and answers that pass it.
func change(r *routev3.Route, rule mesh.Rule, h mesh.Handling) {
	if h.Redirect != nil {
		r.ResponseHeadersToAdd = append(r.ResponseHeadersToAdd, setHeader("location", h.Redirect.To))
	}
	if h.Response != nil {
		r.ResponseHeadersToAdd = append(r.ResponseHeadersToAdd, setHeaders(h.Response)...)
		r.ResponseHeadersToRemove = removed(h.Response)
	}
	action := r.GetRoute()
	if action == nil {
		return
	}
	rewrite(action, rule, h.Rewrite)
	if h.Request == nil {
		return
	}
	r.RequestHeadersToAdd = append(r.RequestHeadersToAdd, setHeaders(h.Request)...)
	r.RequestHeadersToRemove = append(r.RequestHeadersToRemove, removed(h.Request)...)
	for name, value := range h.Request.Set {
		if isHost(name) { // which is no header to Envoy
			action.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: value}
		}
	}
}

func isHost(name string) bool { return strings.EqualFold(name, "host") }

// setHeaders are those that a change sets. What it also removes is gone in the
// end.
func setHeaders(c *mesh.HeaderChange) []*corev3.HeaderValueOption {
	gone := removed(c)
	var list []*corev3.HeaderValueOption
	for _, name := range slices.Sorted(maps.Keys(c.Set)) {
		if !isHost(name) && !slices.Contains(gone, strings.ToLower(name)) {
			list = append(list, setHeader(name, c.Set[name]))
		}
	}
	return list
}

func setHeader(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:         &corev3.HeaderValue{Key: strings.ToLower(name), Value: strings.ReplaceAll(value, "%", "%%")}, // else a command of Envoy's
		AppendAction:   corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		KeepEmptyValue: true,
	}
}

// removed are the headers that a change takes away. Without a host no request can
// be made.
func removed(c *mesh.HeaderChange) []string {
	var names []string
	for _, name := range c.Remove {
		if !isHost(name) {
			names = append(names, strings.ToLower(name))
		}
	}
	slices.Sort(names)
	return names
}

// rewrite makes an action ask for another path: in the place of the prefix or path
// of its rule, or what the pattern of it makes of the whole.
func rewrite(action *routev3.RouteAction, rule mesh.Rule, to string) {
	switch {
	case to == "":
	case rule.Path.Kind == mesh.PathRegex:
		action.RegexRewrite = &matcherv3.RegexMatchAndSubstitute{
			Pattern:      pattern(`^(?:` + rule.Path.Text + `)$`), // Envoy would replace each part that it takes
			Substitution: substitution(rule.Path.Text, to),
		}
	default:
		action.PrefixRewrite = to
	}
}

// substitution writes a rewrite as RE2 has it: a backslash is doubled unless it
// begins the number of a group, and what a group that does not exist holds is
// nothing.
func substitution(pattern, rewrite string) string {
	groups := 0
	if re, err := regexp.Compile(pattern); err == nil {
		groups = re.NumSubexp()
	}
	var b strings.Builder
	for i := 0; i < len(rewrite); i++ {
		if rewrite[i] != '\\' {
			b.WriteByte(rewrite[i])
			continue
		}
		next := byte(0)
		if i+1 < len(rewrite) {
			next = rewrite[i+1]
		}
		switch {
		case next >= '0' && next <= '9':
			i++
			if n, _ := strconv.Atoi(string(next)); n <= groups {
				b.WriteString(`\` + string(next))
			}
		case next == '\\':
			i++
			b.WriteString(`\\`)
		default:
			b.WriteString(`\\`)
		}
	}
	return b.String()
}
