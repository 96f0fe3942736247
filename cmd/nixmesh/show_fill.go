package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// node shows a block with the defaults that depend on others filled in, and
// with what follows from it.
func (s *shower) node(v *spec.View) *node {
	n := nodeOf(v)
	switch v.Kind {
	case "fleet":
		n.fact("waves", s.fleet.Rollout.Order, waveLines(s.fleet.Rollout.Order)...)
	case "operator":
		n.fill("sign", n.arg("ssh").value, "")
	case "host":
		s.host(n)
	case "service":
		s.service(n)
	case "gateway":
		s.gateway(n)
	case "external":
		s.external(n)
	case "variable":
		n.fact("value", s.fleet.Variables[v.Label])
	}
	return n
}

func waveLines(waves [][]string) []string {
	var lines []string
	for _, wave := range waves {
		lines = append(lines, shownText(wave))
	}
	return lines
}

// fleetBlock is a block of the fleet, whose values others inherit.
func (s *shower) fleetBlock(kind string) *node {
	i := slices.IndexFunc(s.views, func(v *spec.View) bool { return v.Kind == "fleet" })
	return nodeOf(s.views[i]).blocks(kind)[0]
}

func (s *shower) host(n *node) {
	key := s.lock.HostKey(n.label)
	if key != "" {
		n.fill("ssh_host_key", key, spec.LockFile)
	} else {
		n.fill("ssh_host_key", nil, "not known yet: nixmesh host trust "+n.label)
	}
	n.blocks("ssh")[0].inherit(s.fleetBlock("ssh"), "fleet", "user", "port", "key", "jump")
	wave := 1 + slices.IndexFunc(s.fleet.Rollout.Order, func(hosts []string) bool { return slices.Contains(hosts, n.label) })
	n.fact("wave", wave)
	runs := []string{}
	for _, sv := range s.fleet.Services {
		for _, v := range sv.Variants() {
			for i := 1; v.RunsOn(n.label) && i <= sv.Instances; i++ {
				runs = append(runs, spec.InstanceName(sv.Name, v.Name, i))
			}
		}
	}
	n.fact("instances", runs)
	gateways := []string{}
	for _, g := range s.fleet.Gateways {
		if slices.Contains(g.On, n.label) {
			gateways = append(gateways, g.Name)
		}
	}
	n.fact("gateways", gateways)
}

// gatewayNamed is a gateway that exists.
func (s *shower) gatewayNamed(name string) *spec.Gateway {
	return s.fleet.Gateways[slices.IndexFunc(s.fleet.Gateways, func(g *spec.Gateway) bool { return g.Name == name })]
}

func (s *shower) gateway(n *node) {
	g := s.gatewayNamed(n.label)
	for i, l := range n.blocks("listen") {
		l.fill("port", g.Listens[i].Port, "")
	}
	for i, r := range n.blocks("route") {
		r.inherit(n, "gateway", "max_body")
		fillLimits(r)
		if e, err := s.mesh.Resolve(mesh.Asked{Caller: g.Name, Upstream: g.Routes[i].Service}); err == nil {
			r.fill("timeout", patienceText(e.Timeout), "")
			r.fill("idle_timeout", patienceText(e.IdleTimeout), "")
		}
	}
	n.fact("hosts", g.On)
	if len(n.blocks("listen")) == 0 {
		n.fact("listens", gatewayListens(g))
	}
	n.fact("calls", sortedKeys(s.mesh.Edges[n.label]))
}

// gatewayListens are the ports that a gateway takes without being told.
func gatewayListens(g *spec.Gateway) []string {
	var listens []string
	for _, l := range g.Listens {
		listens = append(listens, fmt.Sprintf("%s on port %d", l.Protocol, l.Port))
	}
	return listens
}

func (s *shower) external(n *node) {
	i := slices.IndexFunc(s.fleet.Externals, func(x *spec.External) bool { return x.Name == n.label })
	if name := s.fleet.Externals[i].ServerName; name != "" {
		n.fill("server_name", name, "")
	} else {
		n.fill("server_name", nil, "")
	}
	n.fact("mesh_name", n.label+"."+s.fleet.Domain)
	n.fact("address", s.lock.Addr(n.label))
	s.callers(n)
}

// fillLimits fills in the burst of the rate limits in a block.
func fillLimits(n *node) {
	for _, l := range n.blocks("limit") {
		if rate, ok := l.arg("rate").value.(string); ok && !l.off {
			count, _, _ := strings.Cut(rate, "/")
			l.fill("burst", json.Number(count), "")
		}
	}
}
