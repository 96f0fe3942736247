package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// unitsOwn is said of what the unit of another NixOS module keeps.
const unitsOwn = "the unit's own"

func (s *shower) service(n *node) {
	sv := s.serviceNamed(n.label)
	n.fill("harden", sv.Harden, "")
	n.fill("egress", sv.Egress, "")
	n.fill("split", shares(sv.Split), "")
	if sv.Schedule != "" {
		n.fill("restart", nil, "a job runs at its times")
	}
	limits, rollout := n.blocks("limits")[0], n.blocks("rollout")[0]
	if sv.Packaged() {
		limits.fill("files", sv.Limits.Files, "")
		rollout.fill("stop", spec.DurationText(sv.Rollout.Stop), "")
	} else {
		n.fill("restart", nil, unitsOwn)
		limits.fill("files", nil, unitsOwn)
		rollout.fill("stop", nil, unitsOwn)
	}
	for _, v := range n.blocks("version") {
		v.inherit(n, "service", "on", "exec")
		v.merge(n, "service", "env", "secrets")
	}
	for i, u := range n.blocks("upstream") {
		s.upstream(u, s.edges[sv.Upstreams[i]])
	}
	for _, b := range append(n.blocks("allow"), n.blocks("route")...) {
		fillLimits(b)
	}
	running := s.instances(sv)
	s.listens(n, sv, running)
	rollout.inherit(s.fleetBlock("rollout"), "fleet", "confirm", "settle")
	rollout.fill("min_healthy", max(0, count(running)-1), "")

	n.fact("hosts", sv.On)
	user := sv.User
	if sv.Packaged() {
		user = "nm-" + sv.Name
	}
	if user != "" {
		n.fact("user", user)
		n.fact("uid", s.lock.UID(user))
	}
	if len(sv.Listens) > 0 {
		n.fact("mesh_name", sv.Name+"."+s.fleet.Domain)
		n.fact("address", s.lock.Addr(sv.Name))
	}
	n.fact("instances", running, instanceLines(running)...)
	s.callers(n)
}

// serviceNamed is nil for a name that is no service's.
func (s *shower) serviceNamed(name string) *spec.Service {
	i := slices.IndexFunc(s.fleet.Services, func(sv *spec.Service) bool { return sv.Name == name })
	if i < 0 {
		return nil
	}
	return s.fleet.Services[i]
}

// shownInstance is one instance of a version, on each of its hosts.
type shownInstance struct {
	Name  string         `json:"name"` // "api@v1-2"
	Unit  string         `json:"unit"`
	Hosts []string       `json:"hosts"`
	Ports map[string]int `json:"ports"` // by listen, 0 = not allocated yet
}

// instances are those of all versions, with their ports.
func (s *shower) instances(sv *spec.Service) []shownInstance {
	var all []shownInstance
	for _, v := range sv.Variants() {
		for i := 1; i <= sv.Instances; i++ {
			name := spec.InstanceName(sv.Name, v.Name, i)
			in := shownInstance{Name: name, Unit: v.Unit, Hosts: v.On, Ports: map[string]int{}}
			if in.Unit == "" {
				in.Unit = name + ".service"
			}
			for at, l := range sv.Listens {
				port := l.Port
				if at == 0 && v.Port != 0 {
					port = v.Port
				}
				if port == 0 {
					port = s.lock.Port(sv.Name, v.Name, l.Name, i)
				}
				in.Ports[l.Name] = port
			}
			all = append(all, in)
		}
	}
	return all
}

// count is the number of units of these instances over all hosts.
func count(instances []shownInstance) int {
	n := 0
	for _, in := range instances {
		n += len(in.Hosts)
	}
	return n
}

func instanceLines(instances []shownInstance) []string {
	var lines []string
	for _, in := range instances {
		line := fmt.Sprintf("%s on %s", in.Name, shownText(in.Hosts))
		for _, listen := range sortedKeys(in.Ports) {
			line += ", port " + dash(in.Ports[listen])
			if listen != "" {
				line += " (" + listen + ")"
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// listens fills in the allocated port where there is one instance only.
func (s *shower) listens(n *node, sv *spec.Service, running []shownInstance) {
	for i, l := range n.blocks("listen") {
		port := 0
		if len(running) == 1 {
			port = running[0].Ports[sv.Listens[i].Name]
		}
		switch {
		case port != 0:
			l.fill("port", port, spec.LockFile)
		case len(running) > 1:
			l.fill("port", nil, "one for each instance: see facts")
		default:
			l.fill("port", nil, "not allocated yet: nixmesh lock")
		}
	}
}

// upstream fills in what depends on what is called.
func (s *shower) upstream(n *node, e spec.Edge) {
	listen := ""
	if e.Listen != nil {
		listen = e.Listen.Name
	}
	if patience, err := s.mesh.Resolve(mesh.Asked{Caller: e.Caller, Upstream: e.Upstream, Listen: listen}); err == nil {
		n.fill("timeout", patienceText(patience.Timeout), "")
		n.fill("idle_timeout", patienceText(patience.IdleTimeout), "")
	}
	n.fill("port", e.Ports, "")
	if listen == "" {
		n.fill("listen", nil, "")
	} else {
		n.fill("listen", listen, "")
	}
	n.fact("edge", s.lock.Edge(e.Caller, e.Upstream, listen))
}

// shownCaller is who may call a service, and what says so.
type shownCaller struct {
	Name   string `json:"name"`
	Listen string `json:"listen,omitempty"`
	Reason string `json:"reason"` // "upstream", "gateway", "access" of an operator
	Place  string `json:"place"`
}

// callers adds who may call a service or an external.
func (s *shower) callers(n *node) {
	callers := []shownCaller{}
	for _, name := range sortedKeys(s.mesh.Edges) {
		for _, edge := range sortedKeys(s.mesh.Edges[name]) {
			upstream, listen := mesh.SplitEdgeName(edge)
			if upstream != n.label {
				continue
			}
			callers = append(callers, shownCaller{Name: name, Listen: listen, Reason: s.reason(name), Place: s.edgePlace(name, upstream)})
		}
	}
	for _, o := range s.fleet.Operators {
		if slices.Contains(o.Access, n.label) {
			callers = append(callers, shownCaller{Name: "operator/" + o.Name, Reason: "access", Place: where(o.Place)})
		}
	}
	lines := make([]string, 0, len(callers))
	for _, c := range callers {
		lines = append(lines, fmt.Sprintf("%s (%s, %s)", strings.TrimSuffix(c.Name+" to "+c.Listen, " to "), c.Reason, c.Place))
	}
	if len(callers) == 0 {
		lines = []string{"nobody"}
	}
	n.fact("callers", callers, lines...)
}

// reason is what lets a caller call: its upstream block, or that it is a gateway.
func (s *shower) reason(caller string) string {
	if s.mesh.Gateways[caller] != nil {
		return "gateway"
	}
	return "upstream"
}

// edgePlace is where the HCL lets a caller call: its upstream, else the caller.
func (s *shower) edgePlace(caller, upstream string) string {
	for _, g := range s.fleet.Gateways {
		if g.Name == caller {
			return where(g.Place)
		}
	}
	sv := s.serviceNamed(caller)
	for _, u := range sv.Upstreams {
		if u.Name == upstream {
			return where(u.Place)
		}
	}
	return where(sv.Place)
}

// shares are weights of versions as the HCL writes them, nil without versions.
func shares(split map[string]float64) any {
	if split == nil {
		return nil
	}
	m := map[string]any{}
	for version, share := range split {
		m[version] = share
	}
	return m
}

func dash(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}
