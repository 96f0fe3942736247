package xds

import (
	"maps"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/mesh"
)

// gatewayClearRoutes builds the routes of a port in the clear: for each gateway
// its own, or to its port for HTTPS.
func (b *builder) gatewayClearRoutes(name string, p *gatewayPort) Key {
	c := newGatewayRoutes(name)
	for _, part := range p.parts {
		for _, host := range routedHosts(part.gateway) {
			if part.listen.Redirect {
				c.answered(host, toHTTPS(part.gateway))
			} else {
				c.host(b, part, host)
			}
		}
	}
	return c.done(b, p.about())
}

// gatewayTLSRoutes builds the routes of the names that one certificate is for. A
// client that asks there for a name of another certificate has the wrong
// connection for it (RFC 9110, 15.5.20).
func (b *builder) gatewayTLSRoutes(name string, p *gatewayPort, own gatewayPart, certified string) Key {
	c := newGatewayRoutes(name)
	for _, part := range p.parts {
		for _, host := range routedHosts(part.gateway) {
			if part.name == own.name && certificateFor(part.gateway, host) == certified {
				c.host(b, part, host)
			} else {
				c.answered(host, answerStatus(421))
			}
		}
	}
	return c.done(b, About{Gateway: own.name})
}

// gatewayRoutes are the routes of one place in the making.
type gatewayRoutes struct {
	config      *routev3.RouteConfiguration
	needs       []Key
	longestBody int // bytes
}

func newGatewayRoutes(name string) *gatewayRoutes {
	return &gatewayRoutes{config: &routev3.RouteConfiguration{
		Name:                            name,
		IgnorePortInHostMatching:        true,
		MostSpecificHeaderMutationsWins: true,                   // what is kept from outside may be set by a route
		ValidateClusters:                wrapperspb.Bool(false), // they are sent first, and one that is missing costs its calls only
	}}
}

// host adds the routes of one name, in the order in which they are tried.
func (c *gatewayRoutes) host(b *builder, part gatewayPart, host string) {
	t := &gatewayTable{builder: b, name: part.name, gateway: part.gateway}
	for i := range part.gateway.Routes {
		if r := &part.gateway.Routes[i]; r.Host == host {
			t.route(r)
		}
	}
	v := &routev3.VirtualHost{Name: host, Domains: []string{host}, Routes: t.list, RequestHeadersToRemove: claimed(part.gateway)}
	if part.gateway.Compress {
		compressed(v)
	}
	c.config.VirtualHosts = append(c.config.VirtualHosts, v)
	c.needs = append(c.needs, t.needs...)
	c.longestBody = max(c.longestBody, t.longestBody)
}

// claimed are the headers by which a gateway would say what a token proves. From
// outside they prove nothing.
func claimed(g *mesh.Gateway) []string {
	var headers []string
	for _, auth := range g.Auths {
		headers = slices.AppendSeq(headers, maps.Values(auth.Claims))
	}
	slices.Sort(headers)
	return slices.Compact(headers)
}

// answered adds a name of which all requests get one answer.
func (c *gatewayRoutes) answered(host string, answer *routev3.Route) {
	c.config.VirtualHosts = append(c.config.VirtualHosts, &routev3.VirtualHost{Name: host, Domains: []string{host}, Routes: []*routev3.Route{answer}})
}

// done ends with the names that nobody knows.
func (c *gatewayRoutes) done(b *builder, about About) Key {
	c.answered("*", answerStatus(404))
	c.config.MaxDirectResponseBodySizeBytes = wrapperspb.UInt32(uint32(max(4096, c.longestBody)))
	slices.SortFunc(c.needs, Key.Compare)
	b.add(Route, c.config.Name, c.config, about, slices.Compact(c.needs)...)
	return Key{Route, c.config.Name}
}

func answerStatus(status uint32) *routev3.Route {
	return &routev3.Route{
		Match:  pathMatch(anyPath().Path),
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: status}},
	}
}

// toHTTPS sends clients to the same place on the gateway's port for HTTPS, with
// the method that they have.
func toHTTPS(g *mesh.Gateway) *routev3.Route {
	redirect := &routev3.RedirectAction{
		SchemeRewriteSpecifier: &routev3.RedirectAction_HttpsRedirect{HttpsRedirect: true},
		ResponseCode:           routev3.RedirectAction_PERMANENT_REDIRECT,
	}
	if i := slices.IndexFunc(g.Listens, func(l mesh.GatewayListen) bool { return l.Protocol == "https" }); i >= 0 && g.Listens[i].Port != 443 {
		redirect.PortRedirect = uint32(g.Listens[i].Port)
	}
	return &routev3.Route{Match: pathMatch(anyPath().Path), Action: &routev3.Route_Redirect{Redirect: redirect}}
}
