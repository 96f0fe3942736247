package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

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
		if !placed[h.Name] {
			hint := `add "*" as the last wave`
			if len(h.Tags) > 0 {
				hint += fmt.Sprintf(", or \"@%s\" where it belongs", h.Tags[0])
			}
			d.add(problem{code: "NM0502", rng: b.attrs["order"].expr.Range(), block: b.title,
				detail: fmt.Sprintf("Host %q (%s:%d) is in no wave, so no deploy would reach it.", h.Name, h.Place.File, h.Place.Line), hint: hint})
		}
	}
}

// checkRollout refuses times that no deploy can meet (NM0506): a host waits for
// the longest settle of its services, within the longest confirm.
func (d *decoder) checkRollout(f *Fleet, top, b *block) {
	r := f.Rollout
	if r.Settle >= r.Confirm {
		d.tooLong(b, r.Settle, r.Confirm)
		return
	}
	for _, sb := range top.all("service") {
		i := slices.IndexFunc(f.Services, func(s *Service) bool { return s.Name == sb.label })
		s := f.Services[i]
		settle, confirm := cmp.Or(s.Rollout.Settle, r.Settle), max(s.Rollout.Confirm, r.Confirm)
		if settle >= confirm {
			d.tooLong(sb.one("rollout"), settle, confirm)
		}
	}
}

func (d *decoder) tooLong(b *block, settle, confirm time.Duration) {
	rng := b.header
	if a := b.attrs["settle"]; a != nil {
		rng = a.expr.Range()
	} else if a := b.attrs["confirm"]; a != nil {
		rng = a.expr.Range()
	}
	d.add(problem{code: "NM0506", rng: rng, block: b.title,
		detail: fmt.Sprintf("settle is %s and confirm is %s: no host could be confirmed in time.", DurationText(settle), DurationText(confirm)), hint: "settle must be shorter than confirm"})
}

// checkPorts finds fixed ports that are taken on a host (NM0306).
func (d *decoder) checkPorts(f *Fleet, top *block) {
	type user struct {
		service string
		b       *block
	}
	taken := map[string]map[int]user{} // host -> port -> who
	for _, sb := range top.all("service") {
		i := slices.IndexFunc(f.Services, func(s *Service) bool { return s.Name == sb.label })
		s := f.Services[i]
		for n, lb := range sb.all("listen") {
			port := s.Listens[n].Port
			if port == 0 {
				continue
			}
			if why := reservedPort(port); why != "" {
				d.add(problem{code: "NM0306", rng: lb.attrs["port"].expr.Range(), block: sb.title,
					detail: fmt.Sprintf("Port %d is %s on every host.", port, why), hint: "leave port out, or take another"})
				continue
			}
			var clash user
			var on []string
			for _, host := range s.On {
				if other, used := taken[host][port]; used {
					clash, on = other, append(on, host)
					continue
				}
				if taken[host] == nil {
					taken[host] = map[int]user{}
				}
				taken[host][port] = user{s.Name, lb}
			}
			if on != nil {
				d.add(problem{code: "NM0306", rng: lb.attrs["port"].expr.Range(), block: sb.title,
					detail: fmt.Sprintf("Port %d on %s is service %q's, at %s.", port, strings.Join(on, ", "), clash.service, at(clash.b.header)),
					hint:   "leave port out, or take another"})
			}
		}
	}
}

// reservedPort says who owns a port on every host, "" for nobody.
func reservedPort(port int) string {
	switch {
	case port == 22:
		return "SSH's"
	case port >= 7946 && port <= 7948:
		return "the agent's"
	case port == 15443:
		return "the mesh's"
	case port >= 15900 && port <= 19999:
		return "in the range of edges, 15900-19999,"
	case port >= 20000 && port <= 29999:
		return "in the range that nixmesh allocates, 20000-29999,"
	default:
		return ""
	}
}

// checkIdle warns of hosts without a service (NM0505).
func (d *decoder) checkIdle(f *Fleet, top *block) {
	busy := map[string]bool{}
	for _, s := range f.Services {
		for _, name := range s.On {
			busy[name] = true
		}
		if len(s.On) == 0 {
			return // its hosts are not known: it was reported
		}
	}
	for _, b := range top.all("host") {
		if i := slices.IndexFunc(f.Hosts, func(h *Host) bool { return h.Name == b.label }); !busy[b.label] && i >= 0 {
			hint := "it has no tags; name it in a service's on"
			if tags := f.Hosts[i].Tags; len(tags) > 0 {
				hint = "its tags are @" + strings.Join(tags, ", @")
			}
			d.add(problem{code: "NM0505", rng: b.header, block: b.title, detail: "No service runs on this host.", hint: hint})
		}
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
