package controlplane

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/api"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// sign makes the next document of the configuration, or of another one.
func (w *world) sign(operator string, before *mesh.Document, change func(c *mesh.Config)) *mesh.Document {
	w.t.Helper()
	config := must(mesh.Parse(w.config.Canonical()))(w.t)
	if change != nil {
		change(config)
	}
	d := mesh.NextDocument(before, config, operator)
	if err := d.Sign(w.signer(operator)); err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) signer(operator string) mesh.Signer {
	return func(namespace string, message []byte) (string, error) {
		return trust.Sign(w.operators[operator].Signer, namespace, message)
	}
}

// apply puts the configuration in force at one host, and gives the document.
func (w *world) apply(host string) *mesh.Document {
	w.t.Helper()
	d := w.sign("anna", w.document, nil)
	if got := w.put(host, d); got.Result != agentapi.ApplyInForce {
		w.t.Fatalf("apply at %s: %+v", host, got)
	}
	w.document = d
	return d
}

func (w *world) put(host string, d *mesh.Document) agentapi.Applied {
	return w.hosts[host].agent.Apply(context.Background(), d.Canonical(), api.Peer{})
}

// seed gives every host the document, as the deploy that made the host did.
func (w *world) seed() *mesh.Document {
	w.t.Helper()
	d := w.sign("anna", w.document, nil)
	for _, name := range w.names {
		if got := w.put(name, d); got.Result != agentapi.ApplyInForce {
			w.t.Fatalf("apply at %s: %+v", name, got)
		}
	}
	w.document = d
	return d
}

// eventually waits until missing returns "", and returns how long it took.
func (w *world) eventually(within time.Duration, missing func() string) time.Duration {
	w.t.Helper()
	started := time.Now()
	for {
		last := time.Since(started) > within
		what := missing()
		took := time.Since(started)
		if what == "" {
			return took
		}
		if last {
			w.t.Fatalf("after %s: %s", took, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// settled waits until all agents see all, and returns how long it took. It looks
// seldom: a status of each is not free in a large fleet.
func (w *world) settled(within time.Duration) time.Duration {
	w.t.Helper()
	started := time.Now()
	for {
		last := time.Since(started) > within
		missing, took := w.whole(), time.Since(started)
		if missing == "" {
			return took
		}
		if last {
			w.t.Fatalf("after %s: %s", took, missing)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// whole tells what is missing until every agent that runs sees all that run, with
// their documents and their services healthy.
func (w *world) whole() string {
	for _, name := range w.names {
		if w.hosts[name].agent == nil {
			continue
		}
		if missing := w.seenBy(name); missing != "" {
			return name + " sees " + missing
		}
	}
	return ""
}

func (w *world) seenBy(name string) string {
	s := w.hosts[name].agent.Status()
	if s.Document == nil || w.document != nil && s.Document.Hash != w.document.Hash() {
		return "another document"
	}
	for _, h := range s.Hosts {
		running := w.hosts[h.Name].agent != nil
		if running && h.Gossip != agentapi.GossipSelf && h.Gossip != agentapi.GossipAlive {
			return h.Name + " " + h.Gossip
		}
		if running && !h.Applied {
			return fmt.Sprintf("%s with document %+v: %s", h.Name, h.Document, h.Problem)
		}
	}
	for _, service := range s.Services {
		if service.Ready != service.Total {
			return fmt.Sprintf("%s %d of %d: %+v", service.Name, service.Ready, service.Total, service.Endpoints)
		}
	}
	return ""
}

// endpoint is what a host sees of a service on another one.
func (w *world) endpoint(seenBy, service, host string) agentapi.Endpoint {
	for _, s := range w.hosts[seenBy].agent.Status().Services {
		for _, e := range s.Endpoints {
			if s.Name == service && e.Host == host {
				return e
			}
		}
	}
	return agentapi.Endpoint{}
}

// state tells what is missing until the agents that run see a service on a host
// in a state.
func (w *world) state(service, host, state string) func() string {
	return func() string {
		for _, name := range w.names {
			if w.hosts[name].agent == nil {
				continue
			}
			if got := w.endpoint(name, service, host).State; got != state {
				return fmt.Sprintf("%s sees %s on %s %q, want %q", name, service, host, got, state)
			}
		}
		return ""
	}
}

// placeOnly places a service without touching the hosts' facts.
func (w *world) placeOnly(service string, on map[string]bool) {
	w.config.Services[service] = &mesh.Service{
		Listens: []mesh.Listen{{Protocol: "http"}}, Versions: []mesh.Version{{Hosts: slices.Sorted(maps.Keys(on))}}, Instances: 1, MTLS: "strict",
	}
}

// record is what a host would tell of itself: all its services healthy.
func (w *world) record(m *machine, now time.Time) *catalog.Delta {
	w.t.Helper()
	c := catalog.New(m.name, &nodes{self: m.name})
	c.Configure(w.config)
	updates := []catalog.Update{catalog.HostUpdate(catalog.Host{Agent: "1.0.0", Protocols: ownProtocols})}
	for name, s := range w.config.Services {
		if s.RunsOn(m.name) {
			updates = append(updates, catalog.ServiceUpdate(name, catalog.Service{Instances: []catalog.Instance{{Copy: 1, Health: catalog.Healthy, Since: now}}}))
		}
	}
	sign := func(message []byte) ([]byte, error) { return m.node.Sign(trust.PurposeRecord, message), nil }
	if err := c.Start(now, 1, updates, sign); err != nil {
		w.t.Fatal(err)
	}
	return c.Delta(now, &catalog.Digest{}, catalog.MaxDelta)
}
