package spec

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// override lays the lab block over the spec: each argument replaces the one of
// the same name. It returns one line for each.
func (d *decoder) override(top, fleet, lab *block) []string {
	d.onlyInLab(top)
	if lab == nil {
		return nil
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(lab.attrs)) {
		if fleet != nil && name != "secrets" { // see labSecrets
			replace(fleet, lab.attrs[name])
			lines = append(lines, "fleet: "+name)
		}
	}
	for _, over := range lab.blocks {
		blocks := top.all(over.kind)
		i := slices.IndexFunc(blocks, func(b *block) bool { return b.label == over.label })
		if i >= 0 {
			lines = append(lines, d.overrideBlock(blocks[i], over, over.title+": ")...)
		} else if !top.refused[over.kind] {
			d.add(problem{code: "NM0007", rng: over.name, block: over.title, detail: fmt.Sprintf("The fleet has no %s %q to override.", over.kind, over.label),
				hint: didYouMean(over.label, labels(blocks), "there are")})
		}
	}
	return lines
}

// fixed are the arguments, by kind of block, that are the same in the lab: it
// runs the same programs in the same places.
func fixed() map[string][]string {
	return map[string][]string{"host": {"address", "tags"}, "service": {"on", "unit", "package"}, "version": {"on", "unit", "package"}, "gateway": {"on"}}
}

// overrideBlock replaces the arguments of one block, and of the blocks in it.
func (d *decoder) overrideBlock(b, over *block, line string) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(over.attrs)) {
		a := over.attrs[name]
		if slices.Contains(fixed()[over.kind], name) {
			d.add(problem{code: "NM0007", rng: a.key, block: over.title, detail: fmt.Sprintf("The lab cannot override %q.", name),
				hint: "every argument but on, address, tags, unit and package may be overridden"})
			continue
		}
		switch {
		case name == "cert": // the whole source of certificates is another one
			delete(b.attrs, "acme")
			delete(b.attrs, "key")
		case name == "hosts" && b.kind == "external":
			d.keepServerName(b)
		}
		lines = append(lines, line+name)
	}
	for _, name := range slices.Sorted(maps.Keys(over.attrs)) {
		if !slices.Contains(fixed()[over.kind], name) {
			replace(b, over.attrs[name])
		}
	}
	for _, inner := range over.blocks {
		if into := d.overridden(b, inner, over.title); into != nil {
			lines = append(lines, d.overrideBlock(into, inner, line+strings.TrimSpace(inner.kind+" "+strings.Join(quoted(labels([]*block{inner})), ""))+".")...)
		}
	}
	return lines
}

// overridden finds the block in b that an inner block of the lab is about: the
// one of its label, or of its kind, which is made if it is not there.
func (d *decoder) overridden(b, over *block, title string) *block {
	var same []*block
	for _, c := range b.all(over.kind) {
		if c.label == over.label {
			same = append(same, c)
		}
	}
	p := problem{code: "NM0007", rng: over.name, block: title}
	switch schema := b.schema.blocks[over.kind]; {
	case len(same) == 1 && (schema.label != "" || !schema.many):
		return same[0]
	case schema.many && schema.label == "":
		p.detail, p.hint = fmt.Sprintf("A %s block has no label by which the lab could name it.", over.kind), "leave it out: the lab runs the spec's"
	case len(same) > 1:
		p.detail, p.hint = fmt.Sprintf("There are %d blocks %s %q to override.", len(same), over.kind, over.label), "leave it out: the lab runs the spec's"
	case schema.label != "":
		if b.refused[over.kind] {
			return nil
		}
		p.detail = fmt.Sprintf("There is no %s %q to override.", over.kind, over.label)
		p.hint = didYouMean(over.label, labels(b.all(over.kind)), "there are")
	default:
		made := &block{kind: over.kind, schema: schema, title: b.title, path: b.path + "." + over.kind, header: over.header, name: over.name,
			attrs: map[string]*attr{}, refused: map[string]bool{}}
		b.blocks = append(b.blocks, made)
		return made
	}
	d.add(p)
	return nil
}

func labels(blocks []*block) []string {
	var found []string
	for _, b := range blocks {
		if b.label != "" {
			found = append(found, b.label)
		}
	}
	return found
}

func replace(b *block, a *attr) {
	over := *a
	over.path = b.path
	b.attrs[a.name] = &over
}

// keepServerName writes out the name that the spec's hosts give to the server:
// the lab answers elsewhere, under the same name.
func (d *decoder) keepServerName(b *block) {
	if b.has("server_name") || !b.has("hosts") {
		return
	}
	if tls := b.attrs["tls"]; tls != nil {
		if v, ok := d.value(tls); !ok || v.IsNull() || v.Type() != cty.String || v.AsString() != "originate" {
			return
		}
	}
	v, ok := d.value(b.attrs["hosts"])
	if !ok || !v.CanIterateElements() || v.LengthInt() == 0 || !v.Type().IsTupleType() && !v.Type().IsListType() {
		return
	}
	first := v.Index(cty.Zero)
	if first.IsNull() || first.Type() != cty.String {
		return
	}
	host, _, _ := strings.Cut(first.AsString(), ":")
	if _, err := netip.ParseAddr(host); err == nil || host == "" || strings.HasPrefix(first.AsString(), "[") {
		return // an address has no name
	}
	rng := b.attrs["hosts"].expr.Range()
	b.attrs["server_name"] = &attr{name: "server_name", key: b.attrs["hosts"].key, schema: b.schema.args["server_name"], title: b.title, path: b.path,
		expr: &hclsyntax.LiteralValueExpr{Val: cty.StringVal(host), SrcRange: rng}}
}

// onlyInLab refuses the lab's authority in the spec itself (NM0415).
func (d *decoder) onlyInLab(top *block) {
	for _, g := range top.all("gateway") {
		for _, b := range append(g.all("tls"), g) {
			a := b.attrs["cert"]
			if a == nil {
				continue
			}
			if v, ok := d.value(a); ok && !v.IsNull() && v.Type() == cty.String && v.AsString() == labCA {
				d.add(problem{code: "NM0415", rng: a.expr.Range(), block: g.title, detail: "The certificate \"lab-ca\" is one of the lab's, which nobody else trusts.",
					hint: fmt.Sprintf("in lab.hcl: gateway %q { cert = \"lab-ca\" }; here acme, or cert with key", g.label)})
				delete(b.attrs, "cert")
				b.refused["cert"] = true
			}
		}
	}
}
