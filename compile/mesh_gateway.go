package compile

import (
	"cmp"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

func meshGateway(f *spec.Fleet, g *spec.Gateway) *mesh.Gateway {
	out := &mesh.Gateway{
		Hosts: g.On, Certificate: meshCertificate(g.ACME, g.Cert),
		HTTP3: g.HTTP3, Compress: g.Compress, MaxHeaders: g.MaxHeaders, MaxBody: g.MaxBody,
		ClientTimeout: mesh.Duration(g.ClientTimeout), BodyTimeout: mesh.Duration(g.BodyTimeout), Connections: g.Connections,
		TLS: map[string]*mesh.Certificate{}, Auths: map[string]*mesh.Auth{},
	}
	for _, t := range g.TLS {
		out.TLS[t.Host] = meshCertificate(t.ACME, t.Cert)
	}
	https := slices.ContainsFunc(g.Listens, func(l *spec.GatewayListen) bool { return l.Protocol == "https" })
	for _, l := range g.Listens {
		out.Listens = append(out.Listens, mesh.GatewayListen{
			Protocol: l.Protocol, Port: l.Port, ProxyProtocol: l.ProxyProtocol,
			Redirect: l.Protocol == "http" && l.Default && https, Service: l.To, From: l.From,
		})
	}
	slices.SortStableFunc(out.Listens, func(a, b mesh.GatewayListen) int { return cmp.Compare(a.Port, b.Port) })
	for _, a := range g.Auths {
		auth := &mesh.Auth{
			Issuer: a.Issuer, Audiences: a.Audiences, JWKS: a.JWKS, Claims: a.Claims, Service: a.Service, Timeout: mesh.Duration(a.Timeout),
		}
		if x := f.KeysFrom(a); x != nil {
			auth.External = x.Name
		}
		out.Auths[a.Name] = auth
	}
	for _, r := range g.OrderedRoutes() {
		out.Routes = append(out.Routes, meshGatewayRoute(r))
	}
	return out
}

// meshCertificate is where a certificate comes from, nil for none.
func meshCertificate(acme, cert string) *mesh.Certificate {
	switch {
	case acme != "":
		return &mesh.Certificate{Source: mesh.CertACME, Mail: acme}
	case cert == mesh.CertMeshCA || cert == mesh.CertLabCA:
		return &mesh.Certificate{Source: cert}
	case cert != "":
		return &mesh.Certificate{Source: mesh.CertFile, File: cert}
	}
	return nil
}

func meshGatewayRoute(r *spec.GatewayRoute) mesh.GatewayRoute {
	out := mesh.GatewayRoute{
		Host: r.Host, Rule: meshRule(&r.Route), Targets: gatewayTargets(r),
		Auth: r.Auth, MaxBody: r.MaxBody, BodyTimeout: optional(r.BodyTimeout), Handling: meshHandling(&r.Route),
	}
	if m := r.Mirror; m != nil {
		out.Mirror = &mesh.Mirror{Service: m.Service, Version: m.To, Percent: mesh.Percent(m.Percent)}
	}
	if c := r.CORS; c != nil {
		out.CORS = &mesh.CORS{Origins: c.Origins, Methods: c.Methods, Headers: c.Headers, Credentials: c.Credentials, MaxAge: positive(c.MaxAge)}
	}
	return out
}

// gatewayTargets are the shares of a route, by service and version; none where
// it answers by itself.
func gatewayTargets(r *spec.GatewayRoute) []mesh.Target {
	if r.Service != "" {
		return []mesh.Target{{Service: r.Service, Version: r.To, Percent: 100}}
	}
	var out []mesh.Target
	for _, t := range r.Targets {
		out = append(out, mesh.Target{Service: t.Service, Version: t.Version, Percent: mesh.Percent(t.Percent)})
	}
	slices.SortFunc(out, func(a, b mesh.Target) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Version, b.Version))
	})
	return out
}
