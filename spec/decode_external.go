package spec

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// external decodes a service that is not the fleet's (NM0412).
func (d *decoder) external(f *Fleet, b *block) *External {
	d.required(b)
	e := &External{
		Name:       b.label,
		Place:      b.place(),
		Hosts:      d.endpoints(b),
		Protocol:   d.choice(b, "protocol"),
		TLS:        d.choice(b, "tls"),
		ServerName: d.serverName(b),
		CA:         d.authority(b),
		Cert:       d.clientCert(b),
		Key:        d.ageFile(b, "key"),
	}
	if b.has("via") {
		e.Via = d.selected(f, b, "via")
	}
	d.checkExternalTLS(e, b)
	if e.ServerName == "" && len(e.Hosts) > 0 && e.TLS == "originate" {
		e.ServerName = e.Hosts[0].Host
	}
	if e.TLS == "passthrough" {
		e.Protocol = "tcp" // what the mesh can see of it
	}
	return e
}

// endpoints reads "host:port"; an IPv6 address stands in brackets.
func (d *decoder) endpoints(b *block) []Endpoint {
	texts, entries := d.texts(b, "hosts")
	var hosts []Endpoint
	for i, text := range texts {
		bad := func(detail, hint string) {
			d.add(problem{code: "NM0412", rng: entries[i].rng, block: b.title, detail: detail, hint: hint})
		}
		host, port, err := net.SplitHostPort(text)
		n, notNumber := strconv.Atoi(port)
		_, notIP := netip.ParseAddr(host)
		switch {
		case strings.Contains(text, "://"):
			bad(fmt.Sprintf("%q is a URL.", text), `write the host and its port: "api.stripe.com:443"`)
		case err != nil && !strings.Contains(text, ":"):
			bad(fmt.Sprintf("%q has no port.", text), fmt.Sprintf("write %q", text+":443"))
		case err != nil || notNumber != nil || n < 1 || n > 65535:
			bad(fmt.Sprintf("%q is not host:port.", text), `for example "api.stripe.com:443", "[2001:db8::1]:443"`)
		case notIP != nil && !isDNSName(strings.TrimPrefix(strings.ToLower(host), "*.")):
			bad(fmt.Sprintf("%q is not the name or address of a host.", host), `for example "api.stripe.com:443"`)
		default:
			hosts = append(hosts, Endpoint{Host: strings.ToLower(host), Port: n})
		}
	}
	if d.emptyList(b, "hosts") {
		d.add(problem{code: "NM0412", rng: b.attrs["hosts"].expr.Range(), block: b.title, detail: "The external has no host.", hint: `for example hosts = ["api.stripe.com:443"]`})
	}
	return hosts
}

func (d *decoder) serverName(b *block) string {
	it, ok := d.item(b, "server_name")
	if !ok {
		b.arg("server_name", typeText)
		return ""
	}
	text, ok := d.asText(it)
	if ok && !isDNSName(text) {
		d.wrong(it, fmt.Sprintf("%q is not the name of a host, in lower case.", text), "")
		return ""
	}
	return text
}

// authority reads "system", or a PEM file.
func (d *decoder) authority(b *block) string {
	it, ok := d.item(b, "ca")
	if !ok {
		b.arg("ca", typeText)
		return "system"
	}
	if text, ok := d.asText(it); !ok || text == "system" {
		return "system"
	}
	file, _ := d.pemFile(it, "NM0412")
	return file
}

func (d *decoder) clientCert(b *block) string {
	it, ok := d.item(b, "cert")
	if !ok {
		b.arg("cert", typeFile)
		return ""
	}
	file, _ := d.pemFile(it, "NM0412")
	return file
}

// checkExternalTLS holds what goes together (NM0412).
func (d *decoder) checkExternalTLS(e *External, b *block) {
	bad := func(name, detail, hint string) {
		d.add(problem{code: "NM0412", rng: b.attrs[name].key, block: b.title, detail: detail, hint: hint})
	}
	switch {
	case b.has("cert") && !b.meant("key"):
		bad("cert", "The certificate has no key.", `add key = "secrets/client-key.age"`)
		return
	case b.has("key") && !b.meant("cert"):
		bad("key", "The key belongs to a cert, which is missing.", `add cert = "certs/client.pem"`)
		return
	}
	if d.unsure(b, "tls") {
		return
	}
	if e.TLS != "originate" {
		for _, name := range []string{"server_name", "ca", "cert", "key"} {
			if b.has(name) {
				bad(name, fmt.Sprintf("With tls = %q the mesh speaks no TLS to the host, so %s would do nothing.", e.TLS, name), "delete "+name+`, or tls = "originate"`)
				return
			}
		}
	}
	entries := d.entriesOf(b, "hosts")
	for i, h := range e.Hosts {
		_, notIP := netip.ParseAddr(h.Host)
		rng := b.attrs["hosts"].expr.Range()
		if len(entries) == len(e.Hosts) {
			rng = entries[i].rng
		}
		switch {
		case isWildcard(h.Host) && e.TLS != "passthrough":
			d.add(problem{code: "NM0412", rng: rng, block: b.title, detail: "Only the caller's TLS tells which host behind the star it means.", hint: `add tls = "passthrough"`})
			return
		case notIP == nil && e.TLS == "originate" && !b.meant("server_name"):
			d.add(problem{code: "NM0412", rng: rng, block: b.title, detail: "An address does not say which name the certificate has to hold.",
				hint: `add server_name = "api.partner.example"`})
			return
		}
	}
	ports := map[string]int{}
	for i, h := range e.Hosts {
		if port, again := ports[h.Host]; again && port != h.Port && e.TLS == "passthrough" && len(entries) == len(e.Hosts) {
			d.add(problem{code: "NM0412", rng: entries[i].rng, block: b.title, detail: fmt.Sprintf("The caller's TLS says %s, and not whether port %d or %d is meant.", h.Host, port, h.Port),
				hint: "make two externals of it"})
			return
		}
		ports[h.Host] = h.Port
	}
	if e.TLS == "passthrough" && slices.Contains([]string{"http", "http2", "grpc"}, e.Protocol) && b.has("protocol") {
		bad("protocol", fmt.Sprintf("With passthrough the mesh cannot look into the calls, so they are not %s to it.", e.Protocol), `delete protocol, or tls = "originate"`)
	}
}
