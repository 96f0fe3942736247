package spec

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/selector"
)

// on resolves the hosts of a block (NM0205).
func (d *decoder) on(f *Fleet, b *block) []string {
	if it, ok := d.item(b, "on"); ok && it.value.CanIterateElements() && it.value.LengthInt() == 0 {
		d.add(problem{code: "NM0205", rng: it.rng, block: b.title, detail: "The list names no host.", hint: `for example on = ["@app"], or ["*"] for all`})
		return nil
	}
	return d.selected(f, b, "on")
}

// selected resolves the selectors of an argument (NM0205).
func (d *decoder) selected(f *Fleet, b *block, name string) []string {
	texts, entries := d.texts(b, name)
	if len(texts) == 0 || d.work.placed > maxPlaced {
		return nil
	}
	hosts, whole := selectable(f), true
	for i, text := range texts {
		if !d.selects(entries[i], hosts, text) {
			whole = false
		}
	}
	if !whole {
		return nil
	}
	s, err := selector.Parse(texts...)
	if err != nil {
		return nil
	}
	names, err := s.Select(hosts)
	if err != nil {
		d.noMatch(item{rng: b.attrs[name].expr.Range(), a: b.attrs[name]}, err)
	}
	before := d.work.placed
	if d.work.placed += len(names); d.work.placed > maxPlaced {
		if before <= maxPlaced {
			d.add(problem{code: "NM0210", rng: b.attrs[name].expr.Range(), block: b.title, detail: fmt.Sprintf("The selectors of the fleet name more than %d hosts in all.", maxPlaced), hint: "make several fleets of it"})
		}
		return nil
	}
	return names
}

// selects checks one entry by itself, for its own range.
func (d *decoder) selects(it item, hosts []selector.Host, text string) bool {
	s, err := selector.Parse(strings.TrimPrefix(strings.TrimSpace(text), "!"))
	if strings.Contains(text, ",") {
		s, err = selector.Parse(text)
	}
	if err == nil {
		_, err = s.Select(hosts)
	}
	if err != nil {
		d.noMatch(it, err)
	}
	return err == nil
}

func (d *decoder) noMatch(it item, err error) {
	if d.hostsUnsure {
		return
	}
	p := problem{code: "NM0205", rng: it.rng, block: it.a.title}
	var none *selector.NoMatchError
	var syntax *selector.SyntaxError
	switch {
	case errors.As(err, &none):
		p.detail, p.hint = fmt.Sprintf("%q matches no host.", none.Term), none.Known()
		known := slices.Clone(none.Hosts)
		for _, tag := range none.Tags {
			known = append(known, "@"+tag)
		}
		if n := nearest(none.Term, known); n != "" && !strings.Contains(none.Term, ",") {
			p.hint = fmt.Sprintf("did you mean %q? %s", n, none.Known())
		}
	case errors.As(err, &syntax):
		p.detail, p.hint = fmt.Sprintf("%q is not a selector: %s.", syntax.Term, syntax.Reason), `selectors are "app1", "edge-*", "@app", "!app2"`
	default:
		p.detail = err.Error()
	}
	d.add(p)
}

func selectable(f *Fleet) []selector.Host {
	hosts := make([]selector.Host, len(f.Hosts))
	for i, h := range f.Hosts {
		hosts[i] = selector.Host{Name: h.Name, Tags: h.Tags}
	}
	return hosts
}
