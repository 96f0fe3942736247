package mesh

import (
	"slices"
	"strings"
)

// caller checks that somebody of this name may call at all: a service, a
// gateway, or "operator/NAME".
func (k *checker) caller(field, name string) {
	c := k.config
	operator, isOperator := strings.CutPrefix(name, "operator/")
	if isOperator {
		k.refer(field, []string{operator}, keyOf(c.Operators), "operator")
	} else if c.Services[name] == nil && c.Gateways[name] == nil {
		k.wrong(field, "there is no service or gateway %q", name)
	}
}

// reaches checks that a caller may call a service.
func (k *checker) reaches(field, caller, service string) {
	if operator, ok := strings.CutPrefix(caller, "operator/"); ok {
		if o := k.config.Operators[operator]; o != nil && !slices.Contains(o.Access, service) {
			k.wrong(field, "%s has no access to %s", caller, service)
		}
		return
	}
	for edge := range k.config.Edges[caller] {
		if upstream, _ := SplitEdgeName(edge); upstream == service {
			return
		}
	}
	k.wrong(field, "%s has no edge to %s", caller, service)
}

// edgesOf checks all edges of one caller.
func (k *checker) edgesOf(caller string) {
	c := k.config
	if c.Services[caller] == nil && c.Gateways[caller] == nil {
		k.wrong("", "there is no service or gateway %q", caller)
	}
	edges := c.Edges[caller]
	for _, name := range keys(edges) {
		k.in(name, func() { k.edge(caller, name, edges[name]) })
	}
}

func (k *checker) edge(caller, name string, e *Edge) {
	upstream, listen := SplitEdgeName(name)
	_, resolved, err := k.config.offered(upstream, listen)
	switch {
	case err != nil:
		k.wrong("", "%v", err)
	case name != EdgeName(upstream, resolved):
		k.wrong("", "name the listen: %q", EdgeName(upstream, resolved))
	case upstream == caller:
		k.wrong("", "%q calls itself", caller)
	}
	k.howItCalls(caller, e)
}

func (k *checker) howItCalls(caller string, c *Edge) {
	k.patience(c.Patience)
	k.positive("connect_timeout", c.ConnectTimeout)
	k.word("lb", c.LB, "least_request", "round_robin", "random", "ring_hash", "maglev")
	if hashed := c.LB == "ring_hash" || c.LB == "maglev"; hashed != (c.Hash != "") {
		k.wrong("hash", "belongs to ring_hash and maglev, and they to it")
	}
	if kind, name, _ := strings.Cut(c.Hash, ":"); c.Hash != "" && c.Hash != "source" && (kind != "header" && kind != "cookie" || name == "") {
		k.wrong("hash", "%q is not header:X, cookie:X or source", c.Hash)
	}
	k.percent("panic", c.Panic)
	k.atLeast("outlier.errors", c.Outlier.Errors, 0)
	k.positive("outlier.every", c.Outlier.Every)
	k.positive("outlier.eject", c.Outlier.Eject)
	k.percent("outlier.max", c.Outlier.Max)
	k.atLeast("circuit.connections", c.Circuit.Connections, 1)
	k.atLeast("circuit.pending", c.Circuit.Pending, 0)
	k.atLeast("circuit.requests", c.Circuit.Requests, 1)
	k.atLeast("circuit.retries", c.Circuit.Retries, 0)
	k.percent("failover.threshold", c.Failover.Threshold)
	k.refer("failover.to", c.Failover.To, keyOf(k.config.Edges[caller]), "edge of "+caller+" to")
}

func (k *checker) patience(p Patience) {
	if p.Retry == nil {
		return
	}
	k.atLeast("retry.attempts", p.Retry.Attempts, 1)
	if len(p.Retry.On) == 0 {
		k.wrong("retry.on", "want at least one condition")
	}
	k.positive("retry.backoff", p.Retry.Backoff)
	k.percent("retry.budget", p.Retry.Budget)
	if p.Retry.PerTry != nil {
		k.positive("retry.per_try", *p.Retry.PerTry)
	}
}
