package mesh

import (
	"net/netip"
	"regexp"
	"strings"
	"time"
)

func (k *checker) rule(r Rule) {
	k.in("path", func() { k.pathRule(r.Path) })
	k.tokens("methods", r.Methods...)
	for _, caller := range r.From {
		k.caller("from", caller)
	}
	k.matches("headers", r.Headers)
	k.matches("cookies", r.Cookies)
	k.matches("query", r.Query)
}

func (k *checker) pathRule(p Path) {
	k.word("kind", p.Kind, PathPrefix, PathExact, PathRegex)
	switch {
	case p.Kind == PathRegex:
		k.regex("text", p.Text)
	case !strings.HasPrefix(p.Text, "/") || len(p.Text) > 1024:
		k.wrong("text", "%q is not an absolute path", p.Text)
	case p.Kind == PathPrefix && !strings.HasSuffix(p.Text, "/"):
		k.wrong("text", "the prefix %q does not end in a slash", p.Text)
	}
}

func (k *checker) matches(field string, matches []Match) {
	k.items(field, len(matches), func(i int) {
		m := matches[i]
		k.word("kind", m.Kind, MatchExact, MatchPresent, MatchRegex)
		if m.Name == "" {
			k.wrong("name", "want a name")
		}
		if m.Kind == MatchRegex {
			k.regex("text", m.Text)
		}
	})
}

func (k *checker) handling(h Handling) {
	k.patience(h.Patience)
	if h.Redirect != nil && (h.Redirect.Status < 300 || h.Redirect.Status > 399) {
		k.wrong("redirect.status", "%d is not from 300 to 399", h.Redirect.Status)
	}
	if h.Respond != nil && (h.Respond.Status < 200 || h.Respond.Status > 599) {
		k.wrong("respond.status", "%d is not from 200 to 599", h.Respond.Status)
	}
	k.limit(h.Limit)
}

func (k *checker) limit(l *Limit) {
	if l == nil {
		return
	}
	k.atLeast("limit.count", l.Count, 1)
	k.atLeast("limit.burst", l.Burst, 1)
	if per := l.Per.D(); per != time.Second && per != time.Minute && per != time.Hour {
		k.wrong("limit.per", "%s is not 1s, 1m0s or 1h0m0s", l.Per)
	}
	k.word("limit.by", l.By, "caller", "client")
}

func (k *checker) gateway(name string, g *Gateway) {
	k.refer("hosts", g.Hosts, keyOf(k.config.Hosts), "host")
	if g.Certificate != nil {
		k.word("certificate.source", g.Certificate.Source, CertACME, CertFile, CertMeshCA, CertLabCA)
	}
	k.in("tls", func() {
		for _, host := range keys(g.TLS) {
			if !isHostName(host) {
				k.wrong("", "%q is not a host name", host)
				return
			}
			k.word(host+".source", g.TLS[host].Source, CertACME, CertFile, CertMeshCA, CertLabCA)
		}
	})
	k.items("listens", len(g.Listens), func(i int) {
		l := g.Listens[i]
		k.word("protocol", l.Protocol, "http", "https", "tcp")
		k.port("port", l.Port)
		if l.Protocol == "tcp" {
			k.refer("service", []string{l.Service}, keyOf(k.config.Services), "service")
			k.reaches("service", name, l.Service)
		}
		for _, text := range l.From {
			if prefix, err := netip.ParsePrefix(text); err != nil || prefix.String() != text {
				k.wrong("from", "%q is not a range of addresses", text)
			}
		}
	})
	k.each("auths", keys(g.Auths), func(auth string) {
		a := g.Auths[auth]
		if a.Service != "" {
			k.refer("service", []string{a.Service}, keyOf(k.config.Services), "service")
			k.reaches("service", name, a.Service)
		}
		if a.External != "" {
			k.refer("external", []string{a.External}, keyOf(k.config.Externals), "external")
			k.reaches("external", name, a.External)
		}
		k.positive("timeout", a.Timeout)
	})
	k.items("routes", len(g.Routes), func(i int) { k.gatewayRoute(name, g, &g.Routes[i]) })
}

func (k *checker) gatewayRoute(name string, g *Gateway, r *GatewayRoute) {
	if !isHostName(r.Host) {
		k.wrong("host", "%q is not a host name", r.Host)
	}
	k.rule(r.Rule)
	k.handling(r.Handling)
	k.refer("auth", r.Auth, keyOf(g.Auths), "auth")
	if (len(r.Targets) == 0) == (r.Redirect == nil && r.Respond == nil) {
		k.wrong("targets", "want them, a redirect or a respond")
	}
	sum := Percent(0)
	k.items("targets", len(r.Targets), func(i int) {
		t := r.Targets[i]
		k.target(t.Service, t.Version)
		k.reaches("service", name, t.Service)
		k.percent("percent", t.Percent)
		sum += t.Percent
	})
	if len(r.Targets) > 0 && (sum < 100-1e-6 || sum > 100+1e-6) {
		k.wrong("targets", "the sum is %v, not 100", sum)
	}
	if r.Mirror != nil {
		k.in("mirror", func() {
			k.target(r.Mirror.Service, r.Mirror.Version)
			k.reaches("service", name, r.Mirror.Service)
			k.percent("percent", r.Mirror.Percent)
		})
	}
}

// target checks that a version, "" being any, of a service exists.
func (k *checker) target(service, version string) {
	s := k.config.Services[service]
	switch {
	case s == nil:
		k.wrong("service", "there is no service %q", service)
	case version != "" && s.Version(version) == nil:
		k.wrong("version", "%s has no version %q", service, version)
	}
}

var hostNamePattern = regexp.MustCompile(`^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// isHostName says whether a text is a name as in DNS, perhaps with "*." before.
func isHostName(text string) bool {
	return len(text) <= 253 && hostNamePattern.MatchString(text)
}
