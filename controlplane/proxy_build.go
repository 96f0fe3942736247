package controlplane

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// build builds everything. A document that makes it fail is set aside and named;
// then what Envoy does follows the one before, with the certificates of now.
func (p *proxy) build(document *inForce, facts *hostfacts.Facts) {
	p.tried = document.link.Hash
	err := p.buildFrom(document, facts)
	if err == nil {
		p.agent.problems.clear("build")
		return
	}
	text := fmt.Sprintf("version %d by %s could not be built for Envoy, which does as before: %v", document.link.Version, document.link.Operator, err)
	if p.built != nil && p.built.link.Hash != document.link.Hash {
		err = p.buildFrom(p.built, facts)
	}
	if err != nil {
		err = p.buildEarlier(document, facts)
	}
	if err != nil {
		text += "; nor could the one before"
	}
	p.agent.problems.set("build", text, "nixmesh mesh apply")
}

// buildEarlier builds from the newest document of this host's disk that can be
// built from: Envoy may have been started since, and have nothing.
func (p *proxy) buildEarlier(than *inForce, facts *hostfacts.Facts) error {
	shelf := p.agent.documents.shelf
	for _, kept := range shelf.names() {
		if kept.hash == than.link.Hash {
			continue
		}
		document, err := mesh.ParseDocument(shelf.read(kept))
		if err != nil {
			continue // who loads documents sets it aside
		}
		if p.buildFrom(&inForce{document: document, link: document.Link()}, facts) == nil {
			return nil
		}
	}
	return errors.New("this host keeps no other document")
}

// buildFrom builds from a document, and tells Envoy.
func (p *proxy) buildFrom(document *inForce, facts *hostfacts.Facts) error {
	next := p.scope(document.document.Config, facts)
	p.assumed = map[string]bool{}
	var out *xds.Output
	if err := p.guard(document, func() { out = p.compute(next.input) }); err != nil {
		return err
	}
	p.now, p.built, p.given = next, document, true
	p.mu.Lock()
	p.version = document.link.Version
	p.set = make(map[xds.Key]*xds.Resource, len(out.Resources))
	for _, r := range out.Resources {
		p.set[r.Key] = r
	}
	p.mu.Unlock()
	p.problems(out.Problems)
	p.files.keep(out.Kept)
	p.server.Replace(out.Resources, out.Spared...)
	return nil
}

// update builds the assignments of services.
func (p *proxy) update(services, hosts map[string]bool) {
	for host := range hosts {
		for _, service := range p.now.on[host] {
			services[service] = true
		}
	}
	var resources []*xds.Resource
	input := p.now.again()
	for _, service := range slices.Sorted(maps.Keys(services)) {
		if !p.now.called[service] {
			continue
		}
		err := p.guard(p.built, func() { resources = append(resources, xds.Assignments(input, service).Resources...) })
		if err != nil {
			p.logger.Error("endpoints stay as they were", "service", service, "err", err)
			p.all() // from another document
			return
		}
	}
	if len(resources) == 0 {
		return
	}
	p.server.Update(resources)
	p.mu.Lock()
	for _, r := range resources {
		p.set[r.Key] = r
	}
	p.mu.Unlock()
}

// guard builds from a document. The document as such stays good: what fails is
// to build from it on this host.
func (p *proxy) guard(document *inForce, build func()) error {
	return p.agent.poison.guard("resources of a document", func() []byte { return []byte("resources of " + document.link.Hash) }, func() error {
		build()
		return nil
	})
}
