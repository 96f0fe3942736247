package deploy

import (
	"context"
	"fmt"
	"slices"

	"github.com/nixmesh/nixmesh/mesh"
)

// PlanMesh plans a release of the mesh alone: every host keeps what it runs.
// Hosts that would have to change are in Plan.Mesh.Needs, and then it must not
// be carried out.
func (d *Deployer) PlanMesh(ctx context.Context, next *MeshNext) (*Plan, error) {
	seen, history := d.inspectAll(ctx)
	p, err := d.planFrom(ctx, nil, PlanOptions{Mesh: next}, seen, history)
	if err != nil {
		return nil, err
	}
	p.Kind = ReleaseMeshOnly
	m := p.Mesh
	if !m.On {
		return p, nil
	}
	m.Needs = needDeploy(hostNames(d.Fleet), seen, history, next.Modules)
	m.Away = slices.DeleteFunc(hostNames(d.Fleet), func(h string) bool {
		return slices.Contains(m.live.agents, h) || slices.Contains(m.live.unasked, h)
	})
	if len(m.Behind) > 0 && m.live.config != nil {
		m.during, err = held(m.live.config, m.next)
		if err != nil {
			return nil, &Error{Exit: ExitRefused, Err: err, Next: "nixmesh deploy"}
		}
		m.Acts = m.target().Hash() != m.live.config.Hash()
		d.lookAtShares(ctx, m)
		m.foresee(nil, nil)
	}
	return p, nil
}

// needDeploy are the hosts whose facts the spec changes: those that run, or
// where they do not answer were given, what another compiled host made.
func needDeploy(hosts []string, seen map[string]*Seen, history *History, modules map[string]string) []string {
	var need []string
	for _, name := range hosts {
		top := ""
		if s := seen[name]; s.Facts != nil && !s.First {
			top = s.Facts.Current
		} else if live := history.Live(); s.Unreachable() && live != nil {
			top = live.Release.Hosts[name].Toplevel
		}
		if top == "" || modules[name] == "" || history.moduleOf(name, top) != modules[name] {
			need = append(need, name)
		}
	}
	return need
}

// held is the next configuration with what hosts that are away still need of the
// live one: everything that has a name there. What both have acts as next says.
func held(live, next *mesh.Config) (*mesh.Config, error) {
	c, err := mesh.Union(next, live)
	if err != nil {
		return nil, fmt.Errorf("some hosts are away, and no configuration can hold what they run and the spec: %w", err)
	}
	for name, h := range next.Hosts {
		c.Hosts[name] = h // its address and key are of now
	}
	return c, c.Validate()
}

// onlyMesh says whether no host of the plan is to change.
func (p *Plan) onlyMesh() bool {
	return !slices.ContainsFunc(p.Hosts, func(h *HostPlan) bool { return h.Action != ActionUnchanged })
}
