package spec

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// gatewayRoute decodes what happens to some of the calls from outside. Its label
// is HOST, HOST/PATH or HOST~RE2.
func (d *decoder) gatewayRoute(b *block) *GatewayRoute {
	r := &GatewayRoute{Route: *d.route(b), MaxBody: d.size(b, "max_body"), BodyTimeout: d.optionalDuration(b, "body_timeout"), CORS: d.cors(b)}
	d.hostAndPath(r, b)
	r.Service, r.To = serviceAndVersion(d.target(b, "to"))
	shares := d.shares(b)
	for _, name := range slices.Sorted(maps.Keys(shares)) {
		service, version := serviceAndVersion(name)
		r.Targets = append(r.Targets, Target{Service: service, Version: version, Percent: shares[name]})
	}
	if r.Mirror != nil {
		r.Mirror.Service, r.Mirror.To = serviceAndVersion(d.target(b.one("mirror"), "to"))
	}
	r.Auth, _ = d.texts(b, "auth")
	d.checkRewrite(b, &r.Route)
	if !slices.ContainsFunc(actions(), b.meant) {
		d.add(problem{code: "NM0104", rng: b.header, block: b.title, detail: "The route says nothing of what happens to a call.",
			hint: `add to = "web", or one of split, redirect and respond`})
	}
	return r
}

// serviceAndVersion takes "SERVICE" or "SERVICE@VERSION" apart. What lacks one of the two
// beside its "@" is the name of no service.
func serviceAndVersion(text string) (service, version string) {
	service, version, named := strings.Cut(text, "@")
	if named && (service == "" || version == "") {
		return text, ""
	}
	return service, version
}

// hostAndPath takes the label apart.
func (d *decoder) hostAndPath(r *GatewayRoute, b *block) {
	at := strings.IndexAny(b.label, "/~")
	if scheme := strings.Index(b.label, "://"); scheme >= 0 {
		_, rest := badHostName(b.label)
		d.badHost(b, "A host name has no scheme.", rest)
		return
	}
	r.Host, r.Path = b.label, Path{Kind: "prefix", Text: "/"}
	if at >= 0 {
		r.Host = b.label[:at]
	}
	if r.Host == "" {
		r.Path = Path{}
		d.badHost(b, "A gateway's route begins with a host name.", "shop.example"+b.label)
		return
	}
	if reason, normal := badHostName(r.Host); reason != "" {
		r.Path = Path{}
		if normal != "" && at >= 0 {
			normal += b.label[at:]
		}
		d.badHost(b, reason, normal)
		return
	}
	if at >= 0 {
		r.Path, _ = d.pathRule(d.label(b), at)
	}
}

// cors decodes which pages of other origins may call; nil when none.
func (d *decoder) cors(parent *block) *CORS {
	if len(parent.all("cors")) == 0 {
		return nil
	}
	b := parent.one("cors")
	d.required(b)
	c := &CORS{
		Place:       b.place(),
		Origins:     d.origins(b),
		Methods:     d.methods(b, "methods"),
		Headers:     d.headerNames(b, "headers"),
		Credentials: d.boolean(b, "credentials"),
		MaxAge:      d.duration(b, "max_age"),
	}
	if d.emptyList(b, "origins") {
		d.add(problem{code: "NM0105", rng: b.attrs["origins"].expr.Range(), block: b.title, detail: "The list names no origin: no page could call.", hint: `for example origins = ["https://shop.example"], or delete cors`})
	}
	if c.Credentials && slices.Contains(c.Origins, "*") {
		d.add(problem{code: "NM0105", rng: b.attrs["credentials"].key, block: b.title, detail: `Browsers refuse credentials where every origin may call.`,
			hint: `name the origins: origins = ["https://shop.example"]`})
	}
	return c
}

// origins reads "https://shop.example" or "*".
func (d *decoder) origins(b *block) []string {
	texts, entries := d.texts(b, "origins")
	var origins []string
	for i, text := range texts {
		u, err := url.Parse(text)
		switch {
		case text == "*":
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			d.wrong(entries[i], fmt.Sprintf("%q is not an origin.", text), "")
			continue
		case strings.ToLower(u.Scheme+"://"+u.Host) != text:
			d.wrong(entries[i], fmt.Sprintf("%q is more than an origin, or not in lower case: browsers send %q.", text, strings.ToLower(u.Scheme+"://"+u.Host)), "")
			continue
		}
		origins = append(origins, text)
	}
	return origins
}
