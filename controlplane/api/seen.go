package api

import (
	"runtime/metrics"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
)

// statusMetrics are what a status tells. Other hosts and their endpoints are
// counted and not named: each agent would name them all, which is a series for
// every pair of hosts. A host's own agent names its instances.
func statusMetrics(s agentapi.Status, ready bool) []Metric {
	ms := []Metric{
		{agentInfo, []Label{{"host", s.Host}, {"version", s.Version}}, 1},
		{Name: agentStart, Value: seconds(s.Started)},
		{Name: agentReady, Value: truth(ready)},
		{Name: agentStale, Value: truth(s.Stale)},
		{Name: agentFrozen, Value: truth(s.Frozen)},
		{Name: agentProblems, Value: float64(len(s.Problems))},
		{Name: pending, Value: float64(len(s.Pending))},
		{Name: overrides, Value: float64(len(s.Overrides))},
		{Name: documentOffered, Value: truth(s.Offered != nil)},
	}
	return append(append(append(ms, documentMetrics(s)...), hostMetrics(s)...), serviceMetrics(s)...)
}

func documentMetrics(s agentapi.Status) []Metric {
	d := s.Document
	if d == nil {
		return []Metric{{Name: documentVersion}}
	}
	return []Metric{
		{Name: documentVersion, Value: float64(d.Version)},
		{Name: documentSince, Value: seconds(d.Since)},
		{documentInfo, []Label{{"hash", d.Hash[:min(12, len(d.Hash))]}}, 1},
	}
}

func hostMetrics(s agentapi.Status) []Metric {
	states := map[string]int{}
	applied := 0
	for _, h := range s.Hosts {
		states[h.Gossip]++
		switch h.Gossip {
		case agentapi.GossipSelf, agentapi.GossipAlive, agentapi.GossipSuspect: // of others it is not known any more
			if h.Applied {
				applied++
			}
		}
	}
	ms := []Metric{{Name: hostsApplied, Value: float64(applied)}}
	for _, state := range []string{agentapi.GossipSelf, agentapi.GossipAlive, agentapi.GossipSuspect, agentapi.GossipDead, agentapi.GossipLeft, agentapi.GossipUnknown} {
		ms = append(ms, Metric{hosts, []Label{{"gossip", state}}, float64(states[state])})
	}
	return ms
}

func serviceMetrics(s agentapi.Status) []Metric {
	states := map[string]int{}
	ready := 0
	var own []Metric
	for _, svc := range s.Services {
		if svc.Ready == svc.Total {
			ready++
		}
		for _, e := range svc.Endpoints {
			states[e.State]++
			if e.Host != s.Host {
				continue
			}
			labels := []Label{{"service", svc.Name}, {"version", e.Version}}
			own = append(own,
				Metric{instanceCopies, labels, float64(e.Copies)},
				Metric{instanceReady, labels, float64(e.Ready)},
				Metric{instanceHealthy, labels, truth(e.State == agentapi.EndpointHealthy)})
		}
	}
	ms := []Metric{{Name: services, Value: float64(len(s.Services))}, {Name: servicesReady, Value: float64(ready)}}
	for _, state := range []string{agentapi.EndpointHealthy, agentapi.EndpointDegraded, agentapi.EndpointDraining, agentapi.EndpointUnhealthy} {
		ms = append(ms, Metric{endpoints, []Label{{"state", state}}, float64(states[state])})
	}
	return append(ms, own...)
}

// levelMissing is the level of a certificate that is asked for and not there yet.
const levelMissing = "missing"

// certMetrics are what the certificates of this host tell.
func certMetrics(c agentapi.Certs) []Metric {
	const leaf, authority, root = "leaf", "authority", "root"
	levels := map[[2]string]int{}
	var ms []Metric
	add := func(kind string, cert agentapi.Cert) {
		level := cert.Level
		if cert.From.IsZero() && cert.Until.IsZero() {
			level = levelMissing
		}
		levels[[2]string{kind, level}]++
		labels := []Label{{"kind", kind}, {"name", cert.Name}}
		if !cert.Until.IsZero() {
			ms = append(ms, Metric{certificateExpiry, labels, seconds(cert.Until)})
		}
		if !cert.Renews.IsZero() {
			ms = append(ms, Metric{certificateRenewal, labels, seconds(cert.Renews)})
		}
	}
	for _, r := range c.Roots {
		add(root, r)
	}
	if c.Authority != nil {
		add(authority, *c.Authority)
		ms = append(ms, Metric{Name: authorityIssued, Value: float64(c.Issued)}, Metric{Name: authorityRefused, Value: float64(c.Refused)})
	}
	for _, l := range c.Leaves {
		add(leaf, l)
	}
	for _, kind := range []string{root, authority, leaf} {
		for _, level := range []string{agentapi.LevelOK, agentapi.LevelWarn, agentapi.LevelCritical, agentapi.LevelExpired, levelMissing} {
			ms = append(ms, Metric{certificates, []Label{{"kind", kind}, {"level", level}}, float64(levels[[2]string{kind, level}])})
		}
	}
	for _, a := range c.Authorities {
		ms = append(ms, Metric{authorityFailures, []Label{{"authority", a.Host}}, float64(a.Failures)})
	}
	return ms
}

// processMetrics are what the Go runtime tells.
func processMetrics() []Metric {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/sched/goroutines:goroutines"}}
	metrics.Read(samples)
	value := func(i int) float64 {
		if samples[i].Value.Kind() != metrics.KindUint64 {
			return 0 // a runtime that does not have it
		}
		return float64(samples[i].Value.Uint64())
	}
	return []Metric{{Name: agentMemory, Value: value(0) - value(1)}, {Name: agentGoroutines, Value: value(2)}}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
