package spec

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
)

// checkUnused warns of what nothing uses (NM0319).
func (d *decoder) checkUnused(f *Fleet, top, lab *block) {
	if d.found.HasErrors() {
		return // what uses it may be what was refused
	}
	for _, b := range top.all("variable") {
		if !d.mentioned["var."+b.label] {
			d.add(problem{code: "NM0319", rng: b.header, block: b.title, detail: fmt.Sprintf("Nothing uses the variable %q.", b.label), hint: "delete it"})
		}
	}
	for name, a := range d.locals {
		if !d.mentioned["local."+name] {
			d.add(problem{code: "NM0319", rng: a.key, block: a.title, detail: fmt.Sprintf("Nothing uses the local %q.", name), hint: "delete it"})
		}
	}
	d.unusedInputs(f, top)
	d.unusedExternals(f, top)
	d.unusedInGateways(f, top)
	if lab != nil {
		d.unusedLabSecrets(f, lab)
	}
}

func (d *decoder) unusedInputs(f *Fleet, top *block) {
	used := map[string]bool{}
	packages, imports := []*Package{}, []Import{}
	for _, s := range f.Services {
		packages, imports = append(packages, s.Package), append(imports, s.Imports...)
		for _, v := range s.Versions {
			packages = append(packages, v.Package)
		}
		for _, c := range s.Checks {
			packages = append(packages, c.Package)
		}
	}
	for _, h := range f.Hosts {
		imports = append(imports, h.Imports...)
		input, _, _ := strings.Cut(h.Config, "#")
		used[input] = true
	}
	for _, p := range packages {
		if p != nil {
			used[p.Input] = true
		}
	}
	for _, i := range imports {
		used[i.Input] = true
	}
	for _, fleet := range top.all("fleet") {
		members := d.members(fleet, "inputs")
		for _, name := range slices.Sorted(maps.Keys(members)) {
			if !used[name] {
				d.add(problem{code: "NM0319", rng: members[name].rng, block: fleet.title, detail: fmt.Sprintf("Nothing uses the input %q.", name), hint: "delete it, or use it: " + name + "#…"})
			}
		}
	}
}

// unusedExternals: an external is used as an upstream, or as where a gateway's
// jwks come from.
func (d *decoder) unusedExternals(f *Fleet, top *block) {
	used := map[string]bool{}
	for _, s := range f.Services {
		for _, u := range s.Upstreams {
			used[u.Name] = true
		}
	}
	for _, g := range f.Gateways {
		for _, a := range g.Auths {
			if u, err := url.Parse(a.JWKS); err == nil && u.Host != "" {
				used[u.Hostname()] = true
			}
		}
	}
	for _, e := range f.Externals {
		for _, host := range e.Hosts {
			used[e.Name] = used[e.Name] || used[host.Host]
		}
		used[e.Name] = used[e.Name] || used[e.ServerName] // the hosts may be the lab's
	}
	for _, b := range top.all("external") {
		if !used[b.label] {
			d.add(problem{code: "NM0319", rng: b.header, block: b.title, detail: fmt.Sprintf("No service names the external %q as an upstream.", b.label),
				hint: fmt.Sprintf("add upstream %q {} to the service that calls it, or delete it", b.label)})
		}
	}
}

// unusedInGateways: a route asks for each auth, and has a name for each certificate.
func (d *decoder) unusedInGateways(f *Fleet, top *block) {
	for _, b := range top.all("gateway") {
		i := slices.IndexFunc(f.Gateways, func(g *Gateway) bool { return g.Name == b.label })
		asked, names := map[string]bool{}, map[string]bool{}
		for _, r := range f.Gateways[i].Routes {
			markAll(asked, r.Auth)
			names[r.Host] = true
		}
		for _, a := range b.all("auth") {
			if !asked[a.label] {
				d.add(problem{code: "NM0319", rng: a.header, block: b.title, detail: fmt.Sprintf("No route asks for the auth %q: calls come in without it.", a.label),
					hint: fmt.Sprintf("add auth = [%q] to the routes that it is for, or delete it", a.label)})
			}
		}
		for _, t := range b.all("tls") {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(names)), func(name string) bool { return covers(t.label, name) || covers(name, t.label) }) {
				d.add(problem{code: "NM0319", rng: t.header, block: b.title, detail: fmt.Sprintf("No route is for %q.", t.label),
					hint: cmp.Or(didYouMean(t.label, slices.Collect(maps.Keys(names)), "the routes are for"), "delete it")})
			}
		}
	}
}

// covers says whether a host name is another one, or a wildcard over it.
func covers(name, other string) bool {
	suffix, wild := strings.CutPrefix(name, "*")
	return name == other || wild && strings.HasSuffix(other, suffix)
}

// unusedLabSecrets: a service, a gateway or an external has the age file.
func (d *decoder) unusedLabSecrets(f *Fleet, lab *block) {
	used := map[string]bool{}
	for _, s := range f.Services {
		for _, v := range s.Variants() {
			for _, secret := range v.Secrets {
				used[secret.File] = true
			}
		}
	}
	for _, g := range f.Gateways {
		used[g.Key] = true
		for _, t := range g.TLS {
			used[t.Key] = true
		}
	}
	for _, e := range f.Externals {
		used[e.Key] = true
	}
	delete(used, "")
	files := slices.Collect(maps.Keys(used))
	members := d.members(lab, "secrets")
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !used[path.Clean(name)] {
			d.add(problem{code: "NM0319", rng: members[name].rng, block: lab.title, detail: fmt.Sprintf("No service has a secret in the file %q.", name), hint: cmp.Or(didYouMean(path.Clean(name), files, "the files are"), "delete it")})
		}
	}
}
