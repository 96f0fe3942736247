package mesh

import (
	"reflect"
	"slices"
)

// Ended are the open connections that end when one configuration follows another, where
// both let them be: since what carries them is made anew. Requests of HTTP that are
// answered in a few seconds are not among them.
type Ended struct {
	All      bool     // of TCP, and WebSockets and streams; the rest is left out then
	Edges    []string // "web -> postgres": of TCP
	Gateways []string // all that come in there
}

// Ends are the connections that the way from one configuration to another ends.
func Ends(live, next *Config) Ended {
	if live.Telemetry.AccessLog != next.Telemetry.AccessLog {
		return Ended{All: true} // each chain says what it logs
	}
	var e Ended
	pair(live.Edges, next.Edges, func(caller string, l, n map[string]*Edge) {
		pair(l, n, func(edge string, x, y *Edge) {
			if x != nil && y != nil && !reflect.DeepEqual(live.carries(caller, edge), next.carries(caller, edge)) {
				e.Edges = append(e.Edges, caller+" -> "+edge)
			}
		})
	})
	pair(live.Gateways, next.Gateways, func(name string, l, n *Gateway) {
		if l != nil && n != nil && (l.MaxHeaders != n.MaxHeaders || l.ClientTimeout != n.ClientTimeout || l.Connections != n.Connections) {
			e.Gateways = append(e.Gateways, name)
		}
	})
	return e
}

// carries is what the connections of an edge are made with, where it is not HTTP.
func (c *Config) carries(caller, edge string) (how struct {
	TCP, FailsOver bool
	Idle           Duration
	Attempts       int
	Backoff        Duration
	Source         bool
}) {
	upstream, listen := SplitEdgeName(edge)
	protocol, _, err := c.offered(upstream, listen)
	if x := c.Externals[upstream]; x != nil && x.TLS == "passthrough" {
		protocol = "tcp"
	}
	if err != nil || isHTTP(protocol) {
		return how
	}
	how.TCP = true
	acts, err := c.Resolve(Asked{Caller: caller, Upstream: upstream, Listen: listen})
	if err != nil {
		return how
	}
	how.Idle = acts.IdleTimeout
	if r := acts.Retry; r != nil && slices.Contains(r.On, "connect") {
		how.Attempts, how.Backoff = r.Attempts, r.Backoff
	}
	e := c.Edges[caller][edge]
	how.Source = e.Hash == "source"
	how.FailsOver = c.Services[upstream] != nil && slices.ContainsFunc(e.Failover.To, func(to string) bool {
		upstream, listen := SplitEdgeName(to)
		protocol, _, err := c.offered(upstream, listen)
		return err == nil && c.Services[upstream] != nil && c.Edges[caller][to] != nil && !isHTTP(protocol)
	})
	return how
}
