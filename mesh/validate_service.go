package mesh

import (
	"fmt"
	"net/netip"
	"slices"
)

var protocols = []string{"http", "http2", "grpc", "tcp", "redis"}

func (k *checker) service(name string, s *Service) {
	listens := map[string]bool{}
	k.items("listens", len(s.Listens), func(i int) {
		l := s.Listens[i]
		k.word("protocol", l.Protocol, protocols...)
		if listens[l.Name] || l.Name == "" && i > 0 || l.Name != "" && !namePattern.MatchString(l.Name) {
			k.wrong("name", "%q is not a name of its own", l.Name)
		}
		listens[l.Name] = true
	})
	if len(s.Versions) == 0 {
		k.wrong("versions", "want at least one")
	}
	var versions []string
	k.items("versions", len(s.Versions), func(i int) {
		v := s.Versions[i]
		if slices.Contains(versions, v.Name) || v.Name == "" && i > 0 || v.Name != "" && !namePattern.MatchString(v.Name) {
			k.wrong("name", "%q is not a name of its own", v.Name)
		}
		versions = append(versions, v.Name)
		k.refer("hosts", v.Hosts, keyOf(k.config.Hosts), "host")
	})
	k.atLeast("instances", s.Instances, 1)
	k.shares("split", s.Split, versions)
	k.atLeast("connections", s.Connections, 0)
	k.word("mtls", s.MTLS, "strict", "permissive")
	if s.Canary != nil {
		k.in("canary", func() { k.canary(s.Canary) })
	}
	k.items("allows", len(s.Allows), func(i int) { k.allow(name, s, &s.Allows[i]) })
	k.items("routes", len(s.Routes), func(i int) {
		r := &s.Routes[i]
		k.rule(r.Rule)
		k.handling(r.Handling)
		if r.To != "" {
			k.refer("to", []string{r.To}, among(versions), "version")
		}
		k.shares("split", r.Split, versions)
		if r.Mirror != nil {
			k.refer("mirror.version", []string{r.Mirror.Version}, among(versions), "version")
			k.percent("mirror.percent", r.Mirror.Percent)
		}
	})
}

func (k *checker) canary(c *Canary) {
	last := Percent(0)
	for i, step := range c.Steps {
		k.percent(fmt.Sprintf("steps[%d]", i), step)
		if step <= last {
			k.wrong(fmt.Sprintf("steps[%d]", i), "%v does not rise", step)
		}
		last = step
	}
	if last != 100 {
		k.wrong("steps", "the last one is not 100")
	}
	k.positive("every", c.Every)
	k.percent("min_success", c.MinSuccess)
	k.atLeast("min_requests", c.MinRequests, 1)
}

func (k *checker) allow(name string, s *Service, a *Allow) {
	k.caller("caller", a.Caller)
	k.reaches("caller", a.Caller, name)
	k.tokens("methods", a.Methods...)
	if a.Listen != "" && s.Listen(a.Listen) == nil {
		k.wrong("listen", "there is no listen %q", a.Listen)
	}
	k.items("paths", len(a.Paths), func(i int) { k.pathRule(a.Paths[i]) })
	k.matches("headers", a.Headers)
	k.limit(a.Limit)
}

func (k *checker) external(x *External) {
	k.word("protocol", x.Protocol, protocols...)
	k.word("tls", x.TLS, "originate", "passthrough", "off")
	if len(x.Hosts) == 0 {
		k.wrong("hosts", "want at least one")
	}
	k.items("hosts", len(x.Hosts), func(i int) {
		host := x.Hosts[i].Host
		if _, err := netip.ParseAddr(host); err != nil && !isHostName(host) {
			k.wrong("host", "%q is neither a host name nor an IP address", host)
		}
		k.port("port", x.Hosts[i].Port)
	})
	k.refer("via", x.Via, keyOf(k.config.Hosts), "host")
	if x.ServerName != "" && !isHostName(x.ServerName) {
		k.wrong("server_name", "%q is not a host name", x.ServerName)
	}
}
