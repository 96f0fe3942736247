package deploy

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/rollback"
)

// Agents have the patience from the start of a status, and a moment after all
// hosts answered: a host that is away was waited for by then.
const meshGrace = 500 * time.Millisecond

// FleetMesh is what a status has of the mesh: one agent's view, in short.
type FleetMesh struct {
	Host     string             `json:"host"` // whose view it is
	Document *agentapi.Document `json:"document,omitempty"`
	Applied  int                `json:"applied"` // hosts that act on it
	Hosts    int                `json:"hosts"`   // of the document
	Stale    bool               `json:"stale,omitempty"`
	Frozen   bool               `json:"frozen,omitempty"`
	Services []agentapi.Service `json:"services"`
	Certs    string             `json:"certs,omitempty"` // "ok 71 h", or what is worst

	// Behind are hosts that do not run what the newest release says. For them the
	// document keeps Kept, and Waits has no effect yet.
	Behind []string `json:"behind,omitempty"`
	Kept   []string `json:"kept,omitempty"`
	Waits  []string `json:"waits,omitempty"`
}

// StatusWithMesh is Status with what agents say: gossip of the hosts, services,
// certificates. Agents are asked while the hosts are; those that do not answer
// soon after are left out, and said so.
func (d *Deployer) StatusWithMesh(ctx context.Context, agent AgentDialer, hosts []string) *FleetStatus {
	asking, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	status, certs := make(chan *MeshStatus, 1), make(chan *MeshCerts, 1)
	names := slices.Clone(hosts) // Status sorts its own
	go func() { status <- d.meshViews(asking, agent, names) }()
	go func() { certs <- d.meshCerts(asking, agent, names) }()
	began := time.Now()
	s := d.Status(ctx, hosts)
	late := time.AfterFunc(max(meshGrace, askPatience-time.Since(began)), func() { stop(errSlowAgent) })
	defer late.Stop()
	s.addMesh(<-status, <-certs)
	return s
}

// addMesh puts what agents said into the status. What is told of a host already
// is not told again.
func (s *FleetStatus) addMesh(m *MeshStatus, c *MeshCerts) {
	var told []string
	for _, h := range s.Hosts {
		if h.Error != "" || h.State == "no nixmesh" || slices.ContainsFunc(h.Units, agentDown) {
			told = append(told, h.Host)
		}
	}
	m.Asked = slices.DeleteFunc(m.Asked, func(a AskedAgent) bool { return a.Error != "" && slices.Contains(told, a.Host) })
	c.Silent = slices.DeleteFunc(c.Silent, func(a AskedAgent) bool {
		return slices.Contains(told, a.Host) || slices.ContainsFunc(m.Asked, func(asked AskedAgent) bool { return asked.Host == a.Host })
	})
	m.look(told...)
	c.look()
	for i := range c.Attention {
		if c.Attention[i].Command == "" {
			c.Attention[i].Command = Typed(c.lab, "nixmesh mesh certs -o wide")
		}
	}
	s.Attention = append(append(s.Attention, c.Attention...), m.Attention...)
	s.meshUnhealthy = m.Unhealthy
	v := m.View
	if v == nil {
		return
	}
	s.Mesh = &FleetMesh{Host: m.Host, Document: v.Document, Applied: acting(v), Hosts: len(v.Hosts), Stale: v.Stale, Frozen: v.Frozen, Services: v.Services}
	if len(c.Hosts) > 0 {
		s.Mesh.Certs = c.Summary()
	}
	s.addHeld()
	for _, h := range v.Hosts {
		if i := slices.IndexFunc(s.Hosts, func(of HostStatus) bool { return of.Host == h.Name }); i >= 0 {
			s.Hosts[i].Gossip, s.Hosts[i].Instances = h.Gossip, instancesOn(v, h.Name)
			if h.Gossip == agentapi.GossipSelf {
				s.Hosts[i].Gossip = agentapi.GossipAlive
			}
		}
	}
}

// agentDown says whether a unit is the agent's and does not run: then the unit
// was told of.
func agentDown(u rollback.UnitState) bool {
	return u.Name == "nixmesh-agent.service" && u.Active != "active"
}

// HostInstance is a service, or a version of one, on one host.
type HostInstance struct {
	Service string `json:"service"`
	Version string `json:"version,omitempty"`
	State   string `json:"state"`
	Ready   int    `json:"ready"`
	Copies  int    `json:"copies"`
	Reason  string `json:"reason,omitempty"`
}

func instancesOn(v *agentapi.Status, host string) []HostInstance {
	var on []HostInstance
	for _, svc := range v.Services {
		for _, e := range svc.Endpoints {
			if e.Host == host {
				on = append(on, HostInstance{svc.Name, e.Version, e.State, e.Ready, e.Copies, e.Reason})
			}
		}
	}
	return on
}

// headline is "   certs ok 71 h", and how the document stands where not all
// hosts act on it.
func (m *FleetMesh) headline() string {
	text := ""
	if m.Document != nil && m.Applied < m.Hosts {
		text += fmt.Sprintf("   document %d on %d/%d", m.Document.Version, m.Applied, m.Hosts)
	}
	if m.Certs != "" {
		text += "   certs " + m.Certs
	}
	return text
}
