package controlplane

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/mesh"
)

// Endpoints are whom the callers of this host reach.
func (a *Agent) Endpoints(ctx context.Context) agentapi.Endpoints {
	out := agentapi.Endpoints{Schema: agentapi.EndpointsSchema, Host: a.host, Time: a.opts.Clock.Now(), Calls: []agentapi.Call{}}
	live := a.documents.live.Load()
	if live == nil {
		return out
	}
	said, err := a.proxy.clusters(ctx)
	if err != nil {
		out.Error = line(err.Error(), maxEnvoyText)
	}
	for _, r := range a.proxy.resources(xds.Assignment) {
		caller, upstream, version, ok := xds.Edge(r.Name)
		if !ok {
			continue
		}
		call := agentapi.Call{
			Caller: caller, Upstream: upstream, Version: version, Endpoints: []agentapi.CalledEndpoint{},
			Acked: a.proxy.server.AckedVersion(r.Key) == r.Version,
		}
		for _, told := range r.Endpoints() {
			call.Endpoints = append(call.Endpoints, a.calledEndpoint(live.document.Config, &call, told, said[r.Name]))
		}
		out.Calls = append(out.Calls, call)
	}
	return out
}

// calledEndpoint joins what Envoy was told with what the catalog and Envoy say.
func (a *Agent) calledEndpoint(config *mesh.Config, call *agentapi.Call, told xds.Told, said map[string]agentapi.EnvoyEndpoint) agentapi.CalledEndpoint {
	address := fmt.Sprintf("%s:%d", told.Address, told.Port)
	out := agentapi.CalledEndpoint{
		Version: cmp.Or(call.Version, told.Version), Address: address, Zone: told.Zone, Health: told.Health,
		Priority: told.Priority, Weight: told.Weight,
	}
	for _, name := range slices.Sorted(maps.Keys(config.Hosts)) {
		if config.Hosts[name].Address == told.Address {
			out.Host = name
		}
	}
	service, _ := mesh.SplitEdgeName(call.Upstream)
	a.live.look(func(c *catalog.Catalog, _ *mesh.Config, now time.Time) {
		if e, ok := c.Endpoint(now, config, service, out.Version, out.Host); ok {
			out.Since, out.Reason = e.Since, e.Reason
		}
	})
	if e, ok := said[address]; ok {
		out.Envoy = &e
	}
	return out
}

// resources are those of a type, or all for "", as Envoy was told, by name.
func (p *proxy) resources(t xds.Type) []*xds.Resource {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []*xds.Resource
	for _, r := range p.set {
		if t == "" || r.Type == t {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *xds.Resource) int { return a.Compare(b.Key) })
	return list
}

// envoyClusters is what Envoy answers about its clusters, as far as it is read.
type envoyClusters struct {
	Statuses []struct {
		Service string      `json:"eds_service_name"`
		Hosts   []envoyHost `json:"host_statuses"`
	} `json:"cluster_statuses"`
}

type envoyHost struct {
	Address struct {
		Socket struct {
			Address string `json:"address"`
			Port    int    `json:"port_value"`
		} `json:"socket_address"`
	} `json:"address"`
	Stats []struct {
		Name  string `json:"name"`
		Value string `json:"value"` // absent = 0
	} `json:"stats"`
	Health map[string]any `json:"health_status"` // "eds_health_status", and flags
}

// clusters are the endpoints that Envoy has, by assignment and address.
func (p *proxy) clusters(ctx context.Context) (map[string]map[string]agentapi.EnvoyEndpoint, error) {
	body, err := p.admin.get(ctx, "/clusters?format=json")
	if err != nil {
		return nil, err
	}
	var answer envoyClusters
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("read Envoy's clusters: %w", err)
	}
	said := map[string]map[string]agentapi.EnvoyEndpoint{}
	for _, cluster := range answer.Statuses {
		if cluster.Service == "" {
			continue
		}
		hosts := map[string]agentapi.EnvoyEndpoint{}
		for _, h := range cluster.Hosts {
			hosts[fmt.Sprintf("%s:%d", h.Address.Socket.Address, h.Address.Socket.Port)] = h.endpoint()
		}
		said[cluster.Service] = hosts
	}
	return said, nil
}

func (h *envoyHost) endpoint() agentapi.EnvoyEndpoint {
	e := agentapi.EnvoyEndpoint{Health: "healthy"}
	for _, name := range slices.Sorted(maps.Keys(h.Health)) {
		switch value := h.Health[name].(type) {
		case string:
			e.Health = strings.ToLower(line(value, maxAgent))
		case bool:
			if value && len(e.Flags) < 8 {
				e.Flags = append(e.Flags, line(name, maxAgent))
			}
		}
	}
	counts := map[string]int64{}
	for _, s := range h.Stats {
		counts[s.Name], _ = strconv.ParseInt(s.Value, 10, 64) // what is none is none
	}
	e.Active, e.Connections = counts["rq_active"], counts["cx_active"]
	e.Requests, e.Errors, e.Failed = counts["rq_total"], counts["rq_error"], counts["cx_connect_fail"]
	return e
}
