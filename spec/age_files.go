package spec

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// agePlace is the first place that names an age file.
type agePlace struct {
	rng   hcl.Range
	block string
}

// agePlaces are the places of a fleet's age files.
type agePlaces map[string]agePlace

// agePlaces gathers where the files of Fleet.AgeFiles are written.
func (p *pairs) agePlaces() agePlaces {
	places := agePlaces{}
	for i, s := range p.f.Services {
		places.ofService(s, p.services[i])
	}
	for i, g := range p.f.Gateways {
		places.ofKey(g.Key, p.gateways[i])
		for n, tls := range p.gateways[i].all("tls") {
			places.ofKey(g.TLS[n].Key, tls)
		}
	}
	for i, e := range p.f.Externals {
		places.ofKey(e.Key, p.externals[i])
	}
	return places
}

func (places agePlaces) add(file string, rng hcl.Range, block string) {
	first, known := places[file]
	if !known || rng.Filename == first.rng.Filename && rng.Start.Byte < first.rng.Start.Byte {
		places[file] = agePlace{rng, block}
	}
}

func (places agePlaces) ofService(s *Service, b *block) {
	shared := map[*Secret]bool{}
	for _, secret := range s.Secrets {
		shared[secret] = true
	}
	places.ofSecrets(s.Secrets, b)
	for i, vb := range b.all("version") {
		own := maps.Clone(s.Versions[i].Secrets)
		maps.DeleteFunc(own, func(_ string, secret *Secret) bool { return shared[secret] })
		places.ofSecrets(own, vb)
	}
}

// ofSecrets adds the secrets that a block itself has.
func (places agePlaces) ofSecrets(secrets map[string]*Secret, b *block) {
	a := b.attrs["secrets"]
	if a == nil {
		return
	}
	entries := entryPlaces(a.expr)
	for name, secret := range secrets {
		rng := a.expr.Range()
		if at, written := entries[name]; written {
			rng = at.value
		}
		places.add(secret.File, rng, b.title)
	}
}

func (places agePlaces) ofKey(file string, b *block) {
	if a := b.attrs["key"]; a != nil {
		places.add(file, a.expr.Range(), b.title)
	}
}

// externalHosts are the hosts from which an external is called.
func externalHosts(f *Fleet, e *External) []string {
	if len(e.Via) > 0 {
		return e.Via
	}
	var hosts []string
	for _, s := range f.Services {
		if slices.ContainsFunc(s.Upstreams, func(u *Upstream) bool { return u.Name == e.Name }) {
			for _, v := range s.Variants() {
				hosts = append(hosts, v.On...)
			}
		}
	}
	return hosts
}
