package spec

import (
	"fmt"
	"net/netip"
	"slices"
)

func (d *decoder) listens(s *Service, b *block) {
	protocols := []string{"http", "http2", "grpc", "tcp", "redis"}
	for _, l := range b.all("listen") {
		listen := &Listen{Place: l.place(), Protocol: l.label, Port: d.whole(l, "port")}
		if !slices.Contains(protocols, l.label) {
			p := problem{code: "NM0316", rng: l.name, block: l.title, detail: fmt.Sprintf("%q is not a protocol.", l.label),
				hint: didYouMean(l.label, protocols, "the protocols are")}
			if l.label == "udp" {
				p.detail, p.hint = "UDP is not carried: nothing in the mesh would protect it.", "the protocols are http, http2, grpc, tcp, redis"
			}
			d.add(p)
			listen.Protocol = "" // not known: see mayBeHTTP
		}
		listen.Name = d.matching(l, "name", "", `^[a-z][a-z0-9-]{0,30}$`, "a name", `name = "admin"`)
		listen.Address = "127.0.0.1"
		if it, ok := d.item(l, "address"); ok {
			if text, ok := d.asText(it); ok {
				if ip, err := netip.ParseAddr(text); err != nil || ip.Zone() != "" {
					d.wrong(it, fmt.Sprintf("%q is not an IP address.", text), `address = "127.0.0.1"`)
				} else {
					listen.Address = ip.String()
				}
			}
		}
		s.Listens = append(s.Listens, listen)
	}
}
