package spec

import (
	"fmt"
	"net/mail"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// gateway decodes a gateway and holds the rules that need nothing else.
func (d *decoder) gateway(f *Fleet, b *block) *Gateway {
	d.required(b)
	g := &Gateway{
		Name:          b.label,
		Place:         b.place(),
		On:            d.on(f, b),
		HTTP3:         d.boolean(b, "http3"),
		Compress:      d.boolean(b, "compress"),
		MaxHeaders:    d.size(b, "max_headers"),
		MaxBody:       d.size(b, "max_body"),
		ClientTimeout: d.duration(b, "client_timeout"),
		BodyTimeout:   d.duration(b, "body_timeout"),
		Connections:   d.whole(b, "connections"),
	}
	g.ACME, g.Cert, g.Key = d.certificate(b)
	for _, t := range b.all("tls") {
		g.TLS = append(g.TLS, d.gatewayTLS(t))
	}
	for _, a := range b.all("auth") {
		g.Auths = append(g.Auths, d.auth(a))
	}
	for _, r := range b.all("route") {
		g.Routes = append(g.Routes, d.gatewayRoute(r))
	}
	d.gatewayListens(g, b)
	d.checkCertificates(g, b)
	return g
}

// certificate reads where a certificate comes from, and holds what goes together
// (NM0415).
func (d *decoder) certificate(b *block) (acme, cert, key string) {
	acme, cert, key = d.mailAddress(b), d.certFile(b), d.ageFile(b, "key")
	own := cert == "mesh-ca" || cert == labCA
	bad := func(rng hcl.Range, detail, hint string) {
		d.add(problem{code: "NM0415", rng: rng, block: b.title, detail: detail, hint: hint})
	}
	switch {
	case b.has("acme") && b.has("cert"):
		bad(lower(b.attrs["acme"].key, b.attrs["cert"].key), "A certificate comes by ACME or from a file, not both.", "keep one of acme and cert")
	case b.has("key") && !b.meant("cert"):
		bad(b.attrs["key"].key, "The key belongs to a cert, which is missing.", `add cert = "certs/shop.pem"`)
	case b.has("key") && own:
		bad(b.attrs["key"].key, fmt.Sprintf("With %q the key is made on the host.", cert), "delete key")
	case b.has("cert") && cert != "" && !own && !b.meant("key"):
		bad(b.attrs["cert"].key, "The certificate has no key.", `add key = "secrets/shop-key.age"`)
	}
	return acme, cert, key
}

func (d *decoder) mailAddress(b *block) string {
	it, ok := d.item(b, "acme")
	if !ok {
		b.arg("acme", typeText)
		return ""
	}
	text, ok := d.asText(it)
	if !ok {
		return ""
	}
	if a, err := mail.ParseAddress(text); err != nil || a.Address != text {
		d.wrong(it, fmt.Sprintf("%q is not a mail address.", text), "")
		return ""
	}
	return text
}

// certFile reads a PEM chain, "mesh-ca" or "lab-ca", which is the lab's (see override).
func (d *decoder) certFile(b *block) string {
	it, ok := d.item(b, "cert")
	if !ok {
		b.arg("cert", typeText)
		return ""
	}
	if text, ok := d.asText(it); !ok || text == "mesh-ca" || text == labCA {
		return text
	}
	file, _ := d.pemFile(it, "NM0415")
	return file
}

// ageFile reads the path of a secret, which may be missing: checkSecrets tells.
func (d *decoder) ageFile(b *block, name string) string {
	it, ok := d.item(b, name)
	if !ok {
		b.arg(name, typeFile)
		return ""
	}
	file, _ := d.path(it, true)
	return file
}

// gatewayTLS decodes another certificate for one host name.
func (d *decoder) gatewayTLS(b *block) *GatewayTLS {
	t := &GatewayTLS{Host: b.label, Place: b.place()}
	t.ACME, t.Cert, t.Key = d.certificate(b)
	if reason, normal := badHostName(b.label); reason != "" {
		d.badHost(b, reason, normal)
	} else if !b.meant("acme") && !b.meant("cert") && !b.has("key") {
		d.add(problem{code: "NM0415", rng: b.header, block: b.title, detail: "Nothing says where the certificate comes from.", hint: `add acme = "ops@shop.example", or cert and key`})
	} else if t.ACME != "" && isWildcard(b.label) {
		d.noWildcard(b.attrs["acme"].key, b.title, b.label)
	}
	return t
}

// noWildcard says that ACME as nixmesh speaks it proves single names only.
func (d *decoder) noWildcard(rng hcl.Range, title, host string) {
	d.add(problem{code: "NM0415", rng: rng, block: title, detail: fmt.Sprintf("ACME over HTTP gives no certificate for %q.", host),
		hint: fmt.Sprintf("add tls %q { … } with cert and key, or write a route for each name", host)})
}

// checkEncrypted refuses what is for HTTPS in a gateway that does not take it
// (NM0415).
func (d *decoder) checkEncrypted(g *Gateway, b *block) {
	if b.refused["listen"] || slices.ContainsFunc(g.Listens, func(l *GatewayListen) bool { return l.Protocol == "https" }) {
		return
	}
	told := problem{code: "NM0415", block: b.title, detail: "A certificate is for HTTPS, and the gateway does not take that: calls would come in the clear.", hint: `add listen "https" {}, or delete it`}
	switch tls := b.all("tls"); {
	case b.has("acme"):
		told.rng = b.attrs["acme"].key
	case b.has("cert"):
		told.rng = b.attrs["cert"].key
	case len(tls) > 0:
		told.rng = tls[0].header
	case b.has("http3") && g.HTTP3:
		told.rng, told.detail = b.attrs["http3"].key, "HTTP/3 is HTTPS, and the gateway has no certificate."
		told.hint = `add acme = "ops@shop.example", or cert = "mesh-ca", and listen "https" {} unless there is no listen`
	default:
		return
	}
	d.add(told)
}

// checkCertificates holds the names of the routes against the certificates, and
// warns of a gateway without any (NM0415).
func (d *decoder) checkCertificates(g *Gateway, b *block) {
	if !b.meant("acme") && !b.meant("cert") && !b.has("key") && len(g.TLS) == 0 && !b.refused["tls"] && !g.HTTP3 && slices.ContainsFunc(g.Listens, func(l *GatewayListen) bool { return l.Protocol == "http" }) {
		d.warn(problem{code: "NM0415", rng: b.header, block: b.title, detail: "Without a certificate everybody on the way can read the calls.",
			hint: `add acme = "ops@shop.example", or cert = "mesh-ca"`})
	}
	d.checkEncrypted(g, b)
	if g.ACME == "" {
		return
	}
	for i, r := range g.Routes {
		named := slices.ContainsFunc(g.TLS, func(t *GatewayTLS) bool { return t.Host == r.Host })
		first := slices.IndexFunc(g.Routes, func(o *GatewayRoute) bool { return o.Host == r.Host }) == i
		if isWildcard(r.Host) && !named && first {
			d.noWildcard(b.all("route")[i].name, b.title, r.Host)
		}
	}
}
