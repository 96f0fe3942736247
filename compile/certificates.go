package compile

import (
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// LabRoots is the path below the fleet's folder at which a host of the lab sees
// the roots of the lab's CA. No such file is there: it stands for the lab's.
const LabRoots = "lab-ca/ca.pem"

// LabCertificate is where a host of the lab sees a certificate of the lab's CA and
// its key, an age file: a gateway's own or, with a host, the one for that name.
func LabCertificate(gateway, host string) (chain, key string) {
	if host == "" {
		host = "own"
	}
	file := "lab-ca/" + gateway + "/" + strings.Replace(host, "*", "_", 1)
	return file + ".pem", file + ".age"
}

// certified is a certificate that a host has as a file, with its key.
type certified struct {
	chain, key string // below the fleet's folder
	host       string // of a gateway's, "" = its own
	place      spec.Place
}

// certificates are the files that the gateways of this host serve, and those that
// externals which it calls are shown or judged by. Without an agent nobody would
// read them.
func (c *hostCompiler) certificates() {
	if c.options.CA == nil {
		return
	}
	for _, g := range c.index.gateways[c.host.Name] {
		for _, f := range gatewayFiles(g) {
			a := c.pair(f)
			if f.host != "" {
				a = append(attrs{bind("host", str(f.host))}, a...)
			}
			c.define(&module{place: f.place, config: attrs{bind(nixPath("services", "nixmesh", "gateways", g.Name, "certificates"), list{a})}}, g.Place)
		}
	}
	for _, e := range c.fleet.Externals {
		if !c.calls(e) {
			continue
		}
		var a attrs
		if ca := c.rootsOf(e); ca != "" {
			a = append(a, bind("ca", c.file(ca)))
		}
		if e.Cert != "" && (len(e.Via) == 0 || slices.Contains(e.Via, c.host.Name)) { // others cannot open the key
			a = append(a, bind("certificate", c.pair(certified{chain: e.Cert, key: e.Key})))
		}
		if len(a) > 0 {
			c.define(&module{place: e.Place, config: attrs{bind(nixPath("services", "nixmesh", "externals", e.Name), a)}}, c.fleet.Place)
		}
	}
}

func (c *hostCompiler) pair(f certified) attrs {
	return attrs{bind("chain", c.file(f.chain)), bind("key", c.file(f.key))}
}

// file is one of the fleet's folder, which this host then sees.
func (c *hostCompiler) file(path string) expr {
	c.files = append(c.files, path)
	return raw(fleetFile(path))
}

// gatewayFiles are the certificates of a gateway that come as files, its own
// first.
func gatewayFiles(g *spec.Gateway) []certified {
	var files []certified
	add := func(cert, key, host string, place spec.Place) {
		switch cert {
		case "", mesh.CertMeshCA:
			return
		case mesh.CertLabCA:
			cert, key = LabCertificate(g.Name, host)
		}
		files = append(files, certified{cert, key, host, place})
	}
	add(g.Cert, g.Key, "", g.Place)
	for _, t := range g.TLS {
		add(t.Cert, t.Key, t.Host, t.Place)
	}
	return files
}

// calls says whether an external is called on this host, or calls to it leave
// from here.
func (c *hostCompiler) calls(e *spec.External) bool {
	if slices.Contains(e.Via, c.host.Name) {
		return true
	}
	for _, p := range c.placements {
		if len(p.versions) > 0 && slices.ContainsFunc(p.service.Upstreams, func(u *spec.Upstream) bool { return u.Name == e.Name }) {
			return true
		}
	}
	for _, g := range c.index.gateways[c.host.Name] {
		if slices.ContainsFunc(g.Auths, func(a *spec.Auth) bool { return c.fleet.KeysFrom(a) == e }) {
			return true
		}
	}
	return false
}

// rootsOf is the file of the roots that vouch for an external, "" for those that
// the host trusts anyway.
func (c *hostCompiler) rootsOf(e *spec.External) string {
	switch {
	case e.TLS != "originate":
		return ""
	case slices.Contains(c.options.LabAnswers, e.Name):
		return LabRoots
	case e.CA == "system":
		return ""
	default:
		return e.CA
	}
}
