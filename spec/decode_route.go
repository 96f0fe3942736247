package spec

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// routes decodes what happens to some of a service's requests.
func (d *decoder) routes(s *Service, b *block) {
	for _, r := range b.all("route") {
		route := d.route(r)
		route.Path, _ = d.pathRule(d.label(r), 0)
		route.From, _ = d.texts(r, "from")
		route.To = d.target(r, "to")
		route.Split = d.shares(r)
		if route.Mirror != nil {
			route.Mirror.To = d.target(r.one("mirror"), "to")
		}
		d.checkRewrite(r, route)
		s.Routes = append(s.Routes, route)
	}
}

// route decodes what routes of services and gateways have in common.
func (d *decoder) route(b *block) *Route {
	r := &Route{
		Place:       b.place(),
		Methods:     d.methods(b, "methods"),
		Headers:     d.headerMatches(b),
		Cookies:     d.cookieMatches(b),
		Query:       d.queryMatches(b),
		Redirect:    d.redirect(b),
		Respond:     d.respond(b),
		Sticky:      d.matching(b, "sticky", "", cookieName, "a cookie's name", ""),
		Timeout:     d.optionalDuration(b, "timeout"),
		IdleTimeout: d.optionalDuration(b, "idle_timeout"),
		Retry:       d.retry(b),
		Rewrite:     d.text(b, "rewrite"),
		Request:     d.headerChange(b.one("request"), d.headerName),
		Response:    d.headerChange(b.one("response"), d.answerHeaderName),
		Limit:       d.limit(b),
	}
	if m := b.one("mirror"); len(b.all("mirror")) > 0 {
		d.required(m)
		r.Mirror = &Mirror{Place: m.place(), Percent: d.percent(m, "percent")}
	}
	d.checkAction(b)
	return r
}

// shares reads the split of a route; nil when there is none, or it is wrong.
func (d *decoder) shares(b *block) map[string]float64 {
	b.arg("split", typeShares)
	members := d.members(b, "split")
	if members == nil {
		return nil
	}
	shares := map[string]float64{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		share, ok := d.share(members[name].atValue())
		if !ok {
			return nil // no sum can be told
		}
		shares[name] = share
	}
	return shares
}

// actions are the arguments of which a route has at most one.
func actions() []string { return []string{"to", "split", "redirect", "respond"} }

// checkAction holds the rules over a route's action (NM0405).
func (d *decoder) checkAction(b *block) {
	var given []string
	for _, name := range actions() {
		if b.has(name) {
			given = append(given, name)
		}
	}
	if len(given) > 1 {
		d.add(problem{code: "NM0405", rng: lower(b.attrs[given[0]].key, b.attrs[given[1]].key), block: b.title,
			detail: fmt.Sprintf("The route has %s: one route does one thing.", strings.Join(given, " and ")), hint: "keep one of them"})
		return
	}
	for name, needs := range map[string]string{"status": "redirect", "body": "respond"} {
		if b.has(name) && !b.meant(needs) {
			d.add(problem{code: "NM0405", rng: b.attrs[name].key, block: b.title, detail: fmt.Sprintf("%s belongs to %s, which the route does not have.", name, needs),
				hint: "add " + b.schema.args[needs].example + ", or delete " + name})
		}
	}
	if !b.has("redirect") && !b.has("respond") {
		return
	}
	for _, name := range []string{"rewrite", "sticky", "timeout", "idle_timeout"} {
		if a := b.attrs[name]; a != nil {
			d.noService(b, given[0], name, item{rng: a.key})
			return
		}
	}
	for _, name := range []string{"retry", "mirror", "request"} {
		if in := b.all(name); len(in) > 0 {
			d.noService(b, given[0], name, item{rng: in[0].header})
			return
		}
	}
}

// noService says that a route answers by itself.
func (d *decoder) noService(b *block, action, name string, it item) {
	d.add(problem{code: "NM0405", rng: it.rng, block: b.title, detail: fmt.Sprintf("With %s the route asks no service, so %s would do nothing.", action, name), hint: "delete " + name})
}

// redirect reads another place to ask: a URL or a path.
func (d *decoder) redirect(b *block) *Redirect {
	status := d.whole(b, "status")
	if !slices.Contains([]int{301, 302, 303, 307, 308}, status) {
		it, _ := d.item(b, "status")
		d.wrong(it, fmt.Sprintf("A redirect's status is 301, 302, 303, 307 or 308, and not %d.", status), "")
	}
	it, ok := d.item(b, "redirect")
	if !ok {
		b.arg("redirect", typeText)
		return nil
	}
	text, ok := d.asText(it)
	if !ok {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.Fragment == "":
	case err == nil && strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") && u.Fragment == "":
	default:
		d.wrong(it, fmt.Sprintf("%q is not a URL (http or https) or an absolute path.", text), "")
		return nil
	}
	return &Redirect{To: text, Status: status}
}

// maxBody is what Envoy takes for the body of an answer of its own.
const maxBody = 4096

// respond reads an answer that nobody is asked for.
func (d *decoder) respond(b *block) *Respond {
	r := &Respond{Status: d.whole(b, "respond"), Body: d.text(b, "body")}
	if len(r.Body) > maxBody {
		it, _ := d.item(b, "body")
		d.wrong(it, fmt.Sprintf("The body has %d bytes; %d are the most.", len(r.Body), maxBody), "")
	}
	if !b.has("respond") {
		return nil
	}
	return r
}
