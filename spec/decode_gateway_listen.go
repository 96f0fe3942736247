package spec

import "fmt"

// gatewayListens decodes the ports of a gateway. Unless one for http or https is
// written, there are https and http, or http alone without a certificate; a
// gateway that only passes TCP on has none of them.
func (d *decoder) gatewayListens(g *Gateway, b *block) {
	web := b.refused["listen"]
	for _, l := range b.all("listen") {
		listen := d.gatewayListen(l)
		g.Listens = append(g.Listens, listen)
		web = web || listen.Protocol != "tcp"
		if listen.Protocol == "https" && !b.meant("acme") && !b.meant("cert") && len(g.TLS) == 0 && !b.refused["tls"] {
			d.add(problem{code: "NM0415", rng: l.header, block: b.title, detail: "HTTPS needs a certificate, and the gateway has none.",
				hint: `add acme = "ops@shop.example", or cert = "mesh-ca"`})
		}
	}
	if web || len(g.Listens) > 0 && len(g.Routes) == 0 {
		return
	}
	if b.has("acme") || b.has("cert") || len(g.TLS) > 0 {
		g.Listens = append(g.Listens, &GatewayListen{Protocol: "https", Place: g.Place, Port: 443, Default: true})
	}
	g.Listens = append(g.Listens, &GatewayListen{Protocol: "http", Place: g.Place, Port: 80, Default: true})
}

func (d *decoder) gatewayListen(b *block) *GatewayListen {
	l := &GatewayListen{Protocol: b.label, Place: b.place(), Port: d.whole(b, "port"), ProxyProtocol: d.boolean(b, "proxy_protocol"),
		To: d.target(b, "to"), From: d.ranges(b, "from")}
	defaults := map[string]int{"http": 80, "https": 443, "tcp": 0}
	port, known := defaults[l.Protocol]
	if !known {
		names := []string{"http", "https", "tcp"}
		d.add(problem{code: "NM0316", rng: b.name, block: b.title, detail: fmt.Sprintf("A gateway does not take %q.", b.label), hint: didYouMean(b.label, names, "the protocols are")})
		return l
	}
	if !b.has("port") {
		l.Port = port
	}
	if l.Protocol == "tcp" {
		d.tcpListen(l, b)
		return l
	}
	if b.has("to") {
		d.add(problem{code: "NM0416", rng: b.attrs["to"].key, block: b.title, detail: fmt.Sprintf("to is for listen \"tcp\"; %s has routes.", l.Protocol),
			hint: `route "shop.example" { to = "web" }`})
	}
	switch {
	case l.ProxyProtocol:
		d.needsFrom(b, "Nothing says whose PROXY header is believed: anybody could call as whoever he likes.", `the addresses of the load balancers: add from = ["192.0.2.10/32"]`)
	case b.has("from"):
		d.needsFrom(b, "An empty list lets nobody connect.", "delete it, and everybody may")
	}
	return l
}

// needsFrom holds that a listen says who may connect (NM0416).
func (d *decoder) needsFrom(b *block, detail, hint string) {
	if b.meant("from") && !d.emptyList(b, "from") {
		return
	}
	rng := b.header
	if b.has("from") {
		rng = b.attrs["from"].expr.Range()
	} else if b.has("proxy_protocol") {
		rng = b.attrs["proxy_protocol"].key
	}
	d.add(problem{code: "NM0416", rng: rng, block: b.title, detail: detail, hint: hint})
}

// tcpListen holds what a port for TCP needs.
func (d *decoder) tcpListen(l *GatewayListen, b *block) {
	for _, need := range []struct{ name, example string }{{"port", "port = 5432"}, {"to", `to = "postgres"`}} {
		if !b.meant(need.name) {
			d.add(problem{code: "NM0104", rng: b.header, block: b.title, detail: fmt.Sprintf("A listen block for tcp needs the argument %q.", need.name), hint: "add " + need.example})
		}
	}
	d.needsFrom(b, "Nothing says who may connect: a port for TCP asks nobody for a name.", `add from = ["192.0.2.0/24"]`)
}
