package controlplane

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/gossip"
	"github.com/nixmesh/nixmesh/controlplane/sync"
	"github.com/nixmesh/nixmesh/mesh"
)

// Status is the fleet as this agent sees it.
func (a *Agent) Status() agentapi.Status {
	fleet, _ := a.documents.facts()
	s := agentapi.Status{
		Schema: agentapi.StatusSchema, Host: a.host, Fleet: fleet, Version: a.opts.Version,
		Time: a.opts.Clock.Now(), Started: a.started, Offered: a.documents.refused(), Problems: a.problems.list(), Proxy: a.proxy.status(), Guard: a.guarded.status(),
		Hosts: []agentapi.Host{}, Services: []agentapi.Service{},
	}
	live := a.documents.live.Load()
	if live == nil {
		s.Hosts = append(s.Hosts, agentapi.Host{
			Name: a.host, Gossip: agentapi.GossipSelf, Agent: a.opts.Version,
			Protocols: [2]int{int(a.opts.Protocols.Min), int(a.opts.Protocols.Max)},
		})
		return s
	}
	document := live.api()
	s.Document = &document
	config := live.document.Config
	s.Stale = len(config.Hosts) > 1 && !a.heard.Load()
	members, peers := a.members(), a.peers()
	a.live.look(func(c *catalog.Catalog, _ *mesh.Config, now time.Time) {
		s.Frozen = c.Guard().Frozen(now)
		for _, name := range slices.Sorted(maps.Keys(config.Hosts)) {
			s.Hosts = append(s.Hosts, hostStatus(c, name, config.Hosts[name], live))
		}
		for _, name := range slices.Sorted(maps.Keys(config.Services)) {
			s.Services = append(s.Services, serviceStatus(c, now, config, name))
		}
		for _, p := range c.Pending(config) {
			s.Pending = append(s.Pending, agentapi.Pending{Host: p.Host, Service: p.Service, Version: p.Version, Why: string(p.Why)})
		}
		for _, o := range c.Overrides(now, catalog.Splits(config)) {
			s.Overrides = append(s.Overrides, overrideStatus(o))
		}
	})
	for i := range s.Hosts {
		a.gossipStatus(&s.Hosts[i], members, peers)
	}
	return s
}

func (a *Agent) members() map[string]gossip.Member {
	members := map[string]gossip.Member{}
	if g := a.fleet.gossip.Load(); g != nil {
		for _, m := range g.Members() {
			members[m.Name] = m
		}
	}
	return members
}

func (a *Agent) peers() map[string]sync.Peer {
	peers := map[string]sync.Peer{}
	if s := a.fleet.sync.Load(); s != nil {
		for _, p := range s.Peers() {
			peers[p.Host] = p
		}
	}
	return peers
}

// hostStatus is what the catalog knows of a host.
func hostStatus(c *catalog.Catalog, name string, host *mesh.Host, live *inForce) agentapi.Host {
	h := agentapi.Host{Name: name, Address: host.Address, Zone: host.Zone}
	if own := c.Host(name); own != nil {
		h.Agent, h.Draining, h.System = own.Agent, own.Draining, own.System
		h.Protocols = [2]int{int(own.Protocols.Min), int(own.Protocols.Max)}
		if own.Document != (catalog.Document{}) {
			h.Document = &agentapi.Document{Version: int64(own.Document.Version), Hash: fmt.Sprintf("%x", own.Document.Hash)}
		}
		h.Applied, h.Envoy = own.Document == live.record(), envoyWord(own.Envoy)
	}
	status, _ := c.Status(name)
	h.Records = status.Records
	switch {
	case status.Disputed:
		h.Problem = "it signed two states with one stamp: its node key may be in other hands"
	case status.Records > 0 && !status.Complete:
		h.Problem = "its records are not all here yet"
	}
	return h
}

// gossipStatus adds what gossip and the exchange know of a host. It is not called
// under the catalog's lock, which reach takes under its own.
func (a *Agent) gossipStatus(h *agentapi.Host, members map[string]gossip.Member, peers map[string]sync.Peer) {
	if h.Name == a.host {
		h.Gossip = agentapi.GossipSelf
		return
	}
	h.Gossip = agentapi.GossipUnknown
	if m, ok := members[h.Name]; ok {
		h.Gossip, h.Since, h.RTT = string(m.State), m.Since, float64(m.RTT.Microseconds())/1000
	}
	p, known := peers[h.Name]
	common, can := p.Theirs.Common(a.opts.Protocols)
	switch {
	case h.Problem != "":
	case h.Gossip != agentapi.GossipAlive && a.reach.answers(h.Name):
		h.Problem = "its agent does not take part; the host answers, and its endpoints stay as they were"
	case known && p.Theirs != (catalog.Protocols{}) && !can:
		h.Problem = fmt.Sprintf("its agent speaks protocols %d to %d, this one %d to %d: others relay", p.Theirs.Min, p.Theirs.Max, a.opts.Protocols.Min, a.opts.Protocols.Max)
	case known && h.Gossip == agentapi.GossipAlive && p.Failures > 2 && common == 0:
		h.Problem = line(p.Failure, 200)
	}
}

func serviceStatus(c *catalog.Catalog, now time.Time, config *mesh.Config, name string) agentapi.Service {
	s := agentapi.Service{Name: name, Endpoints: []agentapi.Endpoint{}}
	service := config.Services[name]
	for i := range service.Versions {
		version := &service.Versions[i]
		for _, host := range version.Hosts {
			e, ok := c.Endpoint(now, config, name, version.Name, host)
			if !ok {
				s.Total += service.Instances
				continue
			}
			if e.State == catalog.StateHealthy || e.State == catalog.StateDegraded {
				s.Ready += e.Ready
			}
			s.Total += max(e.Copies, service.Instances)
			s.Endpoints = append(s.Endpoints, agentapi.Endpoint{
				Version: version.Name, Host: host, Address: fmt.Sprintf("%s:%d", e.Address, e.Port),
				State: e.State.String(), Standing: standing(e.Standing), Ready: e.Ready, Copies: e.Copies,
				Flapping: e.Flapping, Since: e.Since, Reason: e.Reason,
			})
		}
	}
	return s
}

func overrideStatus(o catalog.InForce) agentapi.Override {
	kind := map[catalog.OverrideKind]string{catalog.Shift: "shift", catalog.Fault: "fault", catalog.Drain: "drain"}[o.Kind]
	return agentapi.Override{
		Subject: o.Subject(), Kind: kind, By: o.Stamp.Writer, Left: o.Left.Seconds(), Value: line(string(o.Value), 2<<10),
	}
}
