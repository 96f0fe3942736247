package delta

import (
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

func (p *peer) apply(d *side, r *xds.Resource) {
	if !d.wild && !d.subs[r.Name] {
		return
	}
	for _, need := range r.Needs { // make before break
		n := p.types[need.Type]
		if need.Type == xds.Cluster && r.Type != xds.Cluster && n.have[need.Name] == "" && !p.excused(need) {
			p.fail("%s came before %s", r.Name, need.Name)
		}
	}
	changed := d.have[r.Name] != r.Version
	d.have[r.Name] = r.Version
	delete(d.none, r.Name)
	switch r.Type {
	case xds.Cluster:
		if changed && slices.ContainsFunc(r.Needs, func(k xds.Key) bool { return k.Type == xds.Assignment }) {
			d.warming[r.Name] = true
		}
	case xds.Assignment:
		p.fed(r.Name)
	}
}

// fed: an assignment came, or the word that there is none.
func (p *peer) fed(name string) {
	clusters := p.types[xds.Cluster]
	for c := range clusters.warming {
		if slices.Contains(p.needs(xds.Key{Type: xds.Cluster, Name: c}), xds.Key{Type: xds.Assignment, Name: name}) {
			delete(clusters.warming, c)
		}
	}
}

// needs are those of what the peer has.
func (p *peer) needs(k xds.Key) []xds.Key {
	v, ok := p.types[k.Type].have[k.Name]
	if !ok {
		return nil
	}
	return p.world[k.Name+"\x00"+string(k.Type)+"\x00"+v].Needs
}

// excused says that a bounded wait may have run out, or that the cluster is refused.
func (p *peer) excused(k xds.Key) bool {
	if p.slow {
		return true
	}
	e := p.s.shelf.entry(k)
	return e != nil && e.want != nil && p.poisoned(e.want) || e == nil || e.want == nil
}

func (p *peer) remove(d *side, k xds.Key) {
	if _, has := d.have[k.Name]; has && !p.slow {
		for _, t := range xds.Types() {
			for name := range p.types[t].have {
				if t == k.Type && slices.Contains(p.leaving, name) {
					continue
				}
				if slices.Contains(p.needs(xds.Key{Type: t, Name: name}), k) && (!p.forgot || !p.types[t].tainted[name]) {
					p.fail("%s was removed while %s needs it", k.Name, name)
				}
			}
		}
	}
	delete(d.have, k.Name)
	delete(d.recorded, k.Name)
	delete(d.warming, k.Name)
	if d.subs[k.Name] {
		d.none[k.Name] = true
	}
	switch k.Type {
	case xds.Assignment:
		p.fed(k.Name)
	case xds.Extension:
		delete(d.heard, k.Name)
	}
}

// resubscribe has the peer want what its clusters and listeners name.
func (p *peer) resubscribe() {
	wanted := map[xds.Key]bool{}
	for _, t := range []xds.Type{xds.Cluster, xds.Listener} {
		for name := range p.types[t].have {
			for _, need := range p.needs(xds.Key{Type: t, Name: name}) {
				wanted[need] = true
			}
		}
	}
	for _, t := range []xds.Type{xds.Assignment, xds.Secret, xds.Route, xds.Extension} {
		d := p.types[t]
		var add, drop []string
		for k := range wanted {
			if k.Type == t && !d.subs[k.Name] {
				d.subs[k.Name] = true
				add = append(add, k.Name)
			}
		}
		for name := range d.subs {
			if !wanted[xds.Key{Type: t, Name: name}] {
				for _, m := range []map[string]bool{d.subs, d.none, d.may} {
					delete(m, name)
				}
				for _, m := range []map[string]string{d.have, d.recorded, d.told, d.heard} {
					delete(m, name)
				}
				drop = append(drop, name)
			}
		}
		if len(add)+len(drop) == 0 {
			continue
		}
		if !d.asked {
			p.ask(t)
			continue
		}
		slices.Sort(add)
		slices.Sort(drop)
		p.hear(&request{TypeUrl: string(t), ResourceNamesSubscribe: add, ResourceNamesUnsubscribe: drop})
	}
}

// warmed answers for clusters once all are warm, and goes on to listeners.
func (p *peer) warmed() {
	d := p.types[xds.Cluster]
	if len(d.warming) > 0 {
		return
	}
	if !d.asked {
		p.ask(xds.Cluster)
	}
	owed := d.owed
	d.owed = nil
	for _, m := range owed {
		var bad []string
		if m.GetSystemVersionInfo() != "" {
			bad = strings.Split(m.GetSystemVersionInfo(), ",")
		}
		p.reply(m, bad)
	}
	if l := p.types[xds.Listener]; !l.asked && (len(owed) > 0 || len(d.have) > 0) {
		p.ask(xds.Listener)
	}
}
