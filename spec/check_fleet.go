package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/selector"
)

// waves resolves rollout.order: each host goes in the first wave that names it.
func (d *decoder) waves(f *Fleet, b *block) {
	texts, entries := d.texts(b, "order")
	if len(texts) == 0 {
		all := make([]string, len(f.Hosts))
		for i, h := range f.Hosts {
			all[i] = h.Name
		}
		if !b.has("order") || len(entries) == 0 {
			f.Rollout.Order, f.Rollout.OrderText = [][]string{all}, []string{""}
		}
		return
	}
	hosts, placed, whole := selectable(f), map[string]bool{}, len(texts) == len(d.items(b, "order"))
	for i, text := range texts {
		s, err := selector.Parse(text)
		var names []string
		if err == nil {
			names, err = s.Select(hosts)
		}
		if err != nil {
			d.noMatch(entries[i], err)
			whole = false
			continue
		}
		wave := slices.DeleteFunc(names, func(name string) bool { return placed[name] })
		for _, name := range wave {
			placed[name] = true
		}
		f.Rollout.Order = append(f.Rollout.Order, wave)
		f.Rollout.OrderText = append(f.Rollout.OrderText, text)
	}
	if !whole {
		return // hosts of a wave that could not be read would be told as missing
	}
	for _, h := range f.Hosts {
		if !placed[h.Name] && !d.unsure(d.hosts[h.Name], "tags") {
			hint := `add "*" as the last wave`
			if len(h.Tags) > 0 {
				hint += fmt.Sprintf(", or \"@%s\" where it belongs", h.Tags[0])
			}
			d.add(problem{code: "NM0502", rng: b.attrs["order"].expr.Range(), block: b.title,
				detail: fmt.Sprintf("Host %q (%s:%d) is in no wave, so no deploy would reach it.", h.Name, h.Place.File, h.Place.Line), hint: hint})
		}
	}
}

// checkIdle warns of hosts where nothing runs (NM0505).
func (d *decoder) checkIdle(p *pairs) {
	busy := map[string]bool{}
	for i, s := range p.f.Services {
		if !d.placed(s, p.services[i]) {
			return // its hosts are not known: it was reported
		}
		for _, v := range s.Variants() {
			markAll(busy, v.On)
		}
	}
	for _, g := range p.f.Gateways {
		if len(g.On) == 0 {
			return
		}
		markAll(busy, g.On)
	}
	for _, h := range p.f.Hosts {
		b := d.hosts[h.Name]
		if busy[h.Name] || d.unsure(b, "tags") {
			continue
		}
		hint := "it has no tags; name it in a service's on"
		if len(h.Tags) > 0 {
			hint = "name it in the on of a service, by itself or as @" + strings.Join(h.Tags, " or @")
		}
		d.add(problem{code: "NM0505", rng: b.header, block: b.title, detail: "No service runs on this host.", hint: hint})
	}
}

func markAll(set map[string]bool, names []string) {
	for _, name := range names {
		set[name] = true
	}
}

// MissingHostKeys are the hosts whose key neither the spec nor the lock knows
// (NM0503). plan refuses them; validate does not look at the lock's keys.
func MissingHostKeys(f *Fleet, l *Lock) Diagnostics {
	var missing Diagnostics
	for _, h := range f.Hosts {
		if h.HostKey == "" && l.HostKey(h.Name) == "" {
			start := Pos{Line: h.Place.Line, Column: 1}
			missing = append(missing, Diagnostic{Code: "NM0503", Summary: codes()["NM0503"].summary, Severity: SeverityError,
				Detail: fmt.Sprintf("No host key is known for %s.", h.Name), Hint: "nixmesh host trust " + h.Name,
				File: h.Place.File, Block: h.Place.Block, Start: start, End: start})
		}
	}
	return missing
}

// String is the place as people and Nix's errors print it.
func (p Place) String() string {
	if p.File == "" {
		return ""
	}
	text := fmt.Sprintf("%s:%d", p.File, p.Line)
	if p.Block != "" {
		text += " (" + p.Block + ")"
	}
	return text
}
