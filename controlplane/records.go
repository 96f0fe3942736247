package controlplane

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/health"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// Bounds of texts in a host's record, in bytes.
const (
	maxAgent  = 64
	maxSystem = 128
)

// publish says what is different on this host, if anything is: its document, its
// instances and their health, its drains. Records are made of what really
// changed, so calling it too often costs a look.
func (a *Agent) publish() {
	updates := a.updates()
	gone := a.gone(updates)
	var err error
	if a.live.started() {
		err = a.live.publish(append(updates, gone...))
	} else {
		err = a.live.start(updates)
	}
	a.problems.check("publish", err, "")
}

// updates are all that this host says.
func (a *Agent) updates() []catalog.Update {
	document := a.documents.live.Load()
	host := catalog.Host{
		Agent: line(a.opts.Version, maxAgent), Protocols: a.opts.Protocols, Document: document.record(),
		System: line(a.facts.toplevel, maxSystem), Envoy: a.proxy.actsOn(document),
	}
	instances := a.health.Instances()
	services := map[string]*catalog.Service{}
	a.live.look(func(c *catalog.Catalog, config *mesh.Config, now time.Time) {
		drained := func(string) bool { return false }
		if config != nil {
			splits := catalog.Splits(config)
			host.Overrides = catalog.SumOf(c.Overrides(now, splits))
			drained = func(subject string) bool {
				_, holds := c.Override(now, "drain/"+subject, splits)
				return holds
			}
		}
		host.Draining = drained(a.host)
		for _, i := range instances {
			s := services[i.Service]
			if s == nil {
				s = &catalog.Service{}
				services[i.Service] = s
			}
			if len(s.Instances) < catalog.MaxInstances {
				r := instanceRecord(i, drained(a.host+"/"+i.Service) || a.drain.leaves(i.Service, i.Version))
				if r.Health == catalog.Healthy {
					a.front(&r, config, i.Service)
				}
				s.Instances = append(s.Instances, r)
			}
		}
		if config != nil && !a.facts.known() {
			for name := range config.Services {
				if s := told(c, a.host, name, drained(a.host+"/"+name)); s != nil {
					services[name] = s
				}
			}
		}
	})
	updates := []catalog.Update{catalog.HostUpdate(host)}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		updates = append(updates, catalog.ServiceUpdate(name, *services[name]))
	}
	return updates
}

// front is how callers elsewhere should take a healthy instance, since their calls come
// through this host's Envoy: where that takes none they would fail, and callers would
// hold it against the service.
func (a *Agent) front(r *catalog.Instance, config *mesh.Config, service string) {
	if m := a.facts.now.Mesh; m == nil || m.Envoy == nil || !a.listens(config, service) {
		return
	}
	if !a.proxy.has(service) && !a.proxy.holds(service) {
		r.Health, r.Reason = catalog.Starting, "it has no certificate yet"
		return
	}
	health, why, since := a.proxy.takes(service)
	if r.Health, r.Reason = health, why; !since.IsZero() {
		r.Since = since.Truncate(time.Second)
	}
}

// listens says whether calls of the mesh come to a service: by the configuration, or
// before there is one by the facts of this host.
func (a *Agent) listens(config *mesh.Config, service string) bool {
	if config != nil {
		return config.Services[service] != nil && len(config.Services[service].Listens) > 0
	}
	return slices.ContainsFunc(a.facts.now.Instances, func(i hostfacts.Instance) bool { return i.Service == service && len(i.Listens) > 0 })
}

// told is what this host said of a service in its last run, which holds for as
// long as it does not know what it runs: nil where it said nothing.
func told(c *catalog.Catalog, self, service string, draining bool) *catalog.Service {
	record := c.Record(self, catalog.Key{Kind: catalog.KindService, Name: service})
	if record == nil || record.Service() == nil {
		return nil
	}
	s := *record.Service()
	s.Instances = slices.Clone(s.Instances)
	for i := range s.Instances {
		s.Instances[i].Draining = draining
	}
	return &s
}

// gone are the services that this host published and does not run any more.
func (a *Agent) gone(updates []catalog.Update) []catalog.Update {
	now := map[string]bool{}
	for _, u := range updates {
		if u.Kind == catalog.KindService {
			now[u.Name] = true
		}
	}
	var gone []catalog.Update
	for name := range a.published {
		if !now[name] {
			gone = append(gone, catalog.Gone(name))
		}
	}
	a.published = now
	return gone
}

func instanceRecord(i health.Instance, draining bool) catalog.Instance {
	r := catalog.Instance{Version: i.Version, Copy: i.Copy, Draining: draining, Since: i.Since.Truncate(time.Second)}
	switch i.State {
	case health.Healthy:
		r.Health = catalog.Healthy
	case health.Starting:
		r.Health = catalog.Starting
	default:
		r.Health = catalog.Unhealthy
	}
	if r.Health != catalog.Healthy {
		r.Reason = line(i.Reason, catalog.MaxReason)
	}
	return r
}

// line makes a text fit a record: printable, and not longer than some bytes.
func line(text string, most int) string {
	text = strings.Map(func(c rune) rune {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, text)
	if len(text) <= most {
		return text
	}
	cut := most
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}

// previous is how the instances of this host were when the last agent here
// stopped, as far as the facts still have them: so that a restarted agent does
// not call a service ill before it was asked.
func previous(c *catalog.Catalog, self string, facts *hostfacts.Facts) []health.Instance {
	copies := map[[2]string][]string{} // units by service and version
	for _, i := range facts.Instances {
		key := [2]string{i.Service, i.Version}
		copies[key] = append(copies[key], i.Unit)
	}
	var list []health.Instance
	for key, units := range copies {
		slices.Sort(units)
		record := c.Record(self, catalog.Key{Kind: catalog.KindService, Name: key[0]})
		if record == nil || record.Service() == nil {
			continue
		}
		for _, was := range record.Service().Instances {
			if was.Version != key[1] || was.Health != catalog.Healthy || was.Copy < 1 || was.Copy > len(units) {
				continue
			}
			list = append(list, health.Instance{
				Service: key[0], Version: key[1], Unit: units[was.Copy-1], Copy: was.Copy, State: health.Healthy,
				Since: was.Since.Add(time.Second), // records have whole seconds
			})
		}
	}
	slices.SortFunc(list, func(a, b health.Instance) int { return cmp.Compare(a.Unit, b.Unit) })
	return list
}
