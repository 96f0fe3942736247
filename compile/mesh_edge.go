package compile

import (
	"time"

	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// meshEdges are the permissions that the spec declares, by caller and EdgeName.
// Those of operators are their access. What an edge fails over to is another one
// of its caller.
func meshEdges(f *spec.Fleet) map[string]map[string]*mesh.Edge {
	edges := map[string]map[string]*mesh.Edge{}
	names := map[[2]string]string{} // caller, upstream: a service calls one listen of another
	var declared []spec.Edge
	for _, e := range f.Edges() {
		if e.CallerKind == "operator" {
			continue
		}
		declared = append(declared, e)
		names[[2]string{e.Caller, e.Upstream}] = edgeName(e)
	}
	for _, e := range declared {
		edge := defaultEdge()
		if e.Settings != nil {
			edge = meshEdge(e.Settings)
			for _, service := range e.Settings.Failover.To {
				edge.Failover.To = append(edge.Failover.To, names[[2]string{e.Caller, service}])
			}
		}
		if edges[e.Caller] == nil {
			edges[e.Caller] = map[string]*mesh.Edge{}
		}
		edges[e.Caller][edgeName(e)] = edge
	}
	return edges
}

func edgeName(e spec.Edge) string {
	if e.Listen == nil {
		return e.Upstream
	}
	return mesh.EdgeName(e.Upstream, e.Listen.Name)
}

func meshEdge(u *spec.Upstream) *mesh.Edge {
	return &mesh.Edge{
		Patience:       mesh.Patience{Timeout: optional(u.Timeout), IdleTimeout: optional(u.IdleTimeout), Retry: meshRetry(u.Retry)},
		ConnectTimeout: mesh.Duration(u.ConnectTimeout), LB: u.LB, Hash: u.Hash,
		SlowStart: mesh.Duration(u.SlowStart), Panic: mesh.Percent(u.Panic),
		Outlier: mesh.Outlier{
			Errors: u.Outlier.Errors, Every: mesh.Duration(u.Outlier.Every), Eject: mesh.Duration(u.Outlier.Eject), Max: mesh.Percent(u.Outlier.Max),
		},
		Circuit: mesh.Circuit{
			Connections: u.Circuit.Connections, Pending: u.Circuit.Pending, Requests: u.Circuit.Requests, Retries: u.Circuit.Retries,
		},
		Failover: mesh.Failover{Zones: u.Failover.Zones, Threshold: mesh.Percent(u.Failover.Threshold)},
	}
}

// defaultEdge is how a gateway calls, which has no upstream blocks: as one
// without any argument would say. A test compares the two.
func defaultEdge() *mesh.Edge {
	return &mesh.Edge{
		ConnectTimeout: mesh.Duration(time.Second), LB: "least_request",
		Outlier:  mesh.Outlier{Errors: 5, Every: mesh.Duration(10 * time.Second), Eject: mesh.Duration(30 * time.Second), Max: 50},
		Circuit:  mesh.Circuit{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3},
		Failover: mesh.Failover{Zones: true, Threshold: 70},
	}
}
