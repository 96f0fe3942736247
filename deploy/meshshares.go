package deploy

import (
	"context"
	"fmt"
	"slices"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/mesh"
)

// lookAtShares notes calls that the plan sends to a version of which no copy takes
// any now: they would be answered 503. A version that the configuration in force
// does not have is to come with the plan, and nothing is said of it; nor of what
// went there before, which is the mesh status's to say.
func (d *Deployer) lookAtShares(ctx context.Context, m *MeshPlan) {
	more := moreSent(m.live.config, m.target())
	if len(more) == 0 || !slices.Contains(m.live.agents, m.live.from) {
		return
	}
	asked := askEach(ctx, []string{m.live.from}, statusOf(d.agent))[0]
	if asked.err != nil {
		m.Notes = append(m.Notes, fmt.Sprintf("whether the versions that get more calls are ready is not known (`%s` may tell): %s: %v",
			Typed(d.Fleet.Lab, "nixmesh mesh status"), asked.host, asked.err))
		return
	}
	for _, s := range more {
		if ready, all := readyOf(asked.answer, s.Service, s.Version); ready == 0 {
			or := ""
			if m.target().FailsOver(s.Service) {
				or = " where no failover takes them"
			}
			m.Notes = append(m.Notes, fmt.Sprintf("%s: %v %% of %s would be answered 503%s: of %s of %s none is ready (`%s` says why)", s.Service, s.Percent, s.What, or,
				copies(all), instance(s.Service, s.Version), Typed(d.Fleet.Lab, "nixmesh mesh status")))
		}
	}
}

// moreSent is what next sends to versions that live has, and to which live sends
// less of it.
func moreSent(live, next *mesh.Config) []mesh.Sent {
	if live == nil || next == nil {
		return nil
	}
	before := live.Sends()
	return slices.DeleteFunc(next.Sends(), func(s mesh.Sent) bool {
		had := live.Services[s.Service]
		if had == nil || !slices.ContainsFunc(had.Versions, func(v mesh.Version) bool { return v.Name == s.Version && len(v.Hosts) > 0 }) {
			return true
		}
		return slices.ContainsFunc(before, func(b mesh.Sent) bool {
			return b.Service == s.Service && b.Version == s.Version && b.What == s.What && b.Percent >= s.Percent
		})
	})
}

// readyOf counts a version's copies as an agent sees them: those that take calls,
// and all.
func readyOf(view *agentapi.Status, service, version string) (ready, all int) {
	for _, svc := range view.Services {
		for _, e := range svc.Endpoints {
			if svc.Name != service || e.Version != version {
				continue
			}
			if all += e.Copies; e.State == agentapi.EndpointHealthy || e.State == agentapi.EndpointDegraded {
				ready += e.Ready
			}
		}
	}
	return ready, all
}
