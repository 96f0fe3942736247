package spec

import "github.com/hashicorp/hcl/v2"

// pairs are the blocks of the files beside what they became: f.Services[i] is of
// services[i], and so on, for rules that look over several blocks.
type pairs struct {
	f         *Fleet
	top       *block
	fleet     *block
	services  []*block
	gateways  []*block
	externals []*block
	operators []*block
	index     map[string]int // "service web" -> its place in services
}

// service finds a service and its block by name.
func (p *pairs) service(name string) (*Service, *block) {
	if i, ok := p.find("service", p.services, name); ok {
		return p.f.Services[i], p.services[i]
	}
	return nil, nil
}

// external finds an external and its block by name.
func (p *pairs) external(name string) (*External, *block) {
	if i, ok := p.find("external", p.externals, name); ok {
		return p.f.Externals[i], p.externals[i]
	}
	return nil, nil
}

// gateway finds a gateway and its block by name.
func (p *pairs) gateway(name string) (*Gateway, *block) {
	if i, ok := p.find("gateway", p.gateways, name); ok {
		return p.f.Gateways[i], p.gateways[i]
	}
	return nil, nil
}

// find looks a block up by kind and name, in an index of all.
func (p *pairs) find(kind string, blocks []*block, name string) (int, bool) {
	if p.index == nil {
		p.index = map[string]int{}
		for _, all := range [][]*block{p.services, p.externals, p.gateways} {
			for i, b := range all {
				p.index[b.kind+" "+b.label] = i
			}
		}
	}
	i, ok := p.index[kind+" "+name]
	return i, ok && i < len(blocks)
}

// edgeBlock is the place of the block that declares an edge, and the title of
// its outermost one.
func (p *pairs) edgeBlock(e Edge) (hcl.Range, string) {
	if e.CallerKind == "gateway" {
		_, b := p.gateway(e.Caller)
		if in := b.standing(e.Place); in != nil {
			return in.header, b.title
		}
		return b.header, b.title
	}
	_, b := p.service(e.Caller)
	return b.named("upstream", e.Upstream).header, b.title
}

// standing finds the inner block at a place.
func (b *block) standing(at Place) *block {
	for _, c := range b.blocks {
		if c.place() == at {
			return c
		}
		if in := c.standing(at); in != nil {
			return in
		}
	}
	return nil
}
