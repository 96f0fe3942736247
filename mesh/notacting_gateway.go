package mesh

import (
	"fmt"
	"slices"
)

// gatewayNotActing names what gateways say and nothing does yet, each with what
// happens in its place.
func (c *Config) gatewayNotActing() []string {
	var list []string
	for _, name := range keys(c.Gateways) {
		g, what := c.Gateways[name], "gateway "+name+": "
		certificates := []*Certificate{g.Certificate}
		for _, host := range keys(g.TLS) {
			certificates = append(certificates, g.TLS[host])
		}
		if slices.ContainsFunc(certificates, func(c *Certificate) bool { return c != nil && c.Source == CertACME }) {
			list = append(list, what+"acme: the certificate is the mesh CA's, which browsers refuse")
		}
		if g.HTTP3 {
			list = append(list, what+"http3: clients get HTTP/2")
		}
		var auth, shared, streams bool
		for i := range g.Routes {
			r := &g.Routes[i]
			auth = auth || len(r.Auth) > 0
			shared = shared || r.Limit != nil && r.Limit.Shared
			if slices.ContainsFunc(r.Query, func(m Match) bool { return m.Not && m.Kind == MatchRegex }) {
				list = append(list, fmt.Sprintf("%sroute %s%s: a query argument that must not match a pattern: the route takes nothing", what, r.Host, r.Path.Text))
			}
			streams = streams || (r.MaxBody > 0 || g.MaxBody > 0) && c.leadsToGRPC(r)
		}
		if auth {
			list = append(list, what+"auth: its routes answer 503")
		}
		if shared {
			list = append(list, what+"a shared limit: each of its hosts counts by itself")
		}
		if streams {
			list = append(list, what+"max_body of gRPC: calls are not bounded")
		}
	}
	return list
}

func (c *Config) leadsToGRPC(r *GatewayRoute) bool {
	return slices.ContainsFunc(r.Targets, func(t Target) bool {
		s := c.Services[t.Service]
		return s != nil && slices.ContainsFunc(s.Listens, func(l Listen) bool { return l.Protocol == "grpc" })
	})
}
