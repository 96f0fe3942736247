package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Union is the configuration for the time of a deploy, when some hosts run what
// the live configuration is of and others already the next one's. The deploy
// publishes it before its first host, and next itself after its last; what works
// goes on in between, but for what Between tells. Neither argument may be changed afterwards.
//
// It holds everything that has a name in either: hosts, services with their
// listens and versions, placements, gateways, externals, auths, authorities,
// operators' access, edges. A caller may do what it may in either, and no more
// but what cannot be said: allows do not tell a listen without a name from named
// ones beside it, and an operator's access is to all listens of a service.
//
// Of what both have and has one value only, the live one stays, since what works
// now works with it: routes, splits, times, protocols, certificates, lifetimes.
// So the union only lets new things be; what steers calls changes at the end,
// when the hosts of new versions are up. (A listen that changes its protocol
// changes it then, too; its hosts take calls before where they can.) Three values
// are otherwise. The address and the host key of a host are next's: they are facts
// about a machine that has them already, and which the deploy reaches by them. Of
// the instances of a service it is the greater number, since it bounds what a host
// may announce.
//
// A listen or version without a name stands before named ones when a service
// gets or loses names. Such a listen and the first named one are the same
// (Service.Namesake): a host that has the one takes the calls of the other, as it
// judges those of its own.
//
// What it cannot bridge is told by Between.
//
// The error is that no document can hold both: another fleet's, or a name that
// changes its kind (from a service to an external, say), which takes two deploys.
func Union(live, next *Config) (*Config, error) {
	if live == nil {
		return next, nil
	}
	if live.Fleet != next.Fleet {
		return nil, fmt.Errorf("unite mesh configurations: of the fleets %q and %q", live.Fleet, next.Fleet)
	}
	u := *live
	u.TrustDomain = cmp.Or(live.TrustDomain, next.TrustDomain)
	u.CA.Authorities = unionNames(live.CA.Authorities, next.CA.Authorities)
	u.CA.Unknown = unionUnknown(live.CA.Unknown, next.CA.Unknown)
	u.Telemetry.Unknown = unionUnknown(live.Telemetry.Unknown, next.Telemetry.Unknown)
	u.Unknown = unionUnknown(live.Unknown, next.Unknown)
	u.Defaults = unionMap(live.Defaults, next.Defaults, func(l, n Defaults) Defaults {
		l.Unknown = unionUnknown(l.Unknown, n.Unknown)
		return l
	})
	u.Hosts = unionMap(live.Hosts, next.Hosts, unionHost)
	u.Services = unionMap(live.Services, next.Services, unionService)
	u.Gateways = unionMap(live.Gateways, next.Gateways, unionGateway)
	u.Externals = unionMap(live.Externals, next.Externals, func(l, n *External) *External {
		x := *l
		x.Unknown = unionUnknown(l.Unknown, n.Unknown)
		return &x
	})
	u.Operators = unionMap(live.Operators, next.Operators, func(l, n *Operator) *Operator {
		return &Operator{Access: unionNames(l.Access, n.Access), Unknown: unionUnknown(l.Unknown, n.Unknown)}
	})
	u.Edges = unionMap(live.Edges, next.Edges, func(l, n map[string]*Edge) map[string]*Edge { return unionMap(l, n, unionEdge) })
	if live.Authorization != next.Authorization {
		u.Authorization = Explicit // and what the other one lets pass is spelled out
	}
	before, after := permissionsOf(live), permissionsOf(next)
	for name, s := range u.Services {
		own := *s
		own.Allows = unionAllows(before, after, u.Authorization, name)
		u.Services[name] = &own
	}
	if err := u.Validate(); err != nil {
		return nil, fmt.Errorf("unite mesh configurations: %w", err)
	}
	return &u, nil
}

// unionMap has the entries of both. What both have is made one of; what one has
// is taken as it is.
func unionMap[V any](live, next map[string]V, unite func(l, n V) V) map[string]V {
	if len(live)+len(next) == 0 {
		return live
	}
	all := maps.Clone(next)
	if all == nil {
		all = map[string]V{}
	}
	for name, l := range live {
		if n, both := next[name]; both {
			l = unite(l, n)
		}
		all[name] = l
	}
	return all
}

func unionNames(live, next Names) Names {
	all := slices.Concat(live, next)
	if len(all) == 0 {
		return live
	}
	return all.sorted()
}

func unionUnknown(live, next Unknown) Unknown {
	return Unknown{unionMap(live.members, next.members, func(l, _ any) any { return l })}
}

func unionHost(l, n *Host) *Host {
	h := *l
	h.Address, h.HostKey = n.Address, cmp.Or(n.HostKey, l.HostKey)
	h.Unknown = unionUnknown(l.Unknown, n.Unknown)
	return &h
}

func unionEdge(l, n *Edge) *Edge {
	e := *l
	e.Unknown = unionUnknown(l.Unknown, n.Unknown)
	return &e
}

func unionService(l, n *Service) *Service {
	s := *l
	s.Listens = unionList(l.Listens, n.Listens, func(x Listen) string { return x.Name }, func(l, n Listen) Listen {
		l.Unknown = unionUnknown(l.Unknown, n.Unknown)
		return l
	})
	s.Versions = unionList(l.Versions, n.Versions, func(v Version) string { return v.Name }, func(l, n Version) Version {
		return Version{Name: l.Name, Hosts: unionNames(l.Hosts, n.Hosts), Unknown: unionUnknown(l.Unknown, n.Unknown)}
	})
	s.Instances = max(l.Instances, n.Instances)
	if len(l.Split) == 0 && s.Versions[0].Name != l.Versions[0].Name {
		s.Split = map[string]Percent{l.Versions[0].Name: 100} // it was the first, which gets all
	}
	if l.Canary == nil {
		s.Canary = n.Canary
	}
	s.Unknown = unionUnknown(l.Unknown, n.Unknown)
	return &s
}

// unionList has the entries of both, the live ones first, but before all the one
// without a name.
func unionList[V any](live, next []V, name func(V) string, unite func(l, n V) V) []V {
	all := slices.Clone(live)
	for _, n := range next {
		i := slices.IndexFunc(all, func(v V) bool { return name(v) == name(n) })
		if i >= 0 {
			all[i] = unite(all[i], n)
		} else {
			all = append(all, n)
		}
	}
	slices.SortStableFunc(all, func(a, b V) int {
		unnamed := func(v V) int { return min(len(name(v)), 1) }
		return cmp.Compare(unnamed(a), unnamed(b))
	})
	return all
}

// unionFrom are the ranges that may connect by either; none = everybody.
func unionFrom(l, n Names) Names {
	if len(l) == 0 || len(n) == 0 {
		return nil
	}
	return unionNames(l, n)
}

func unionGateway(l, n *Gateway) *Gateway {
	g := *l
	g.Hosts = unionNames(l.Hosts, n.Hosts)
	if l.Certificate == nil {
		g.Certificate = n.Certificate
	}
	g.TLS = unionMap(l.TLS, n.TLS, func(l, _ *Certificate) *Certificate { return l })
	g.Auths = unionMap(l.Auths, n.Auths, func(l, _ *Auth) *Auth { return l })
	g.Listens = unionList(l.Listens, n.Listens, func(x GatewayListen) string { return fmt.Sprint(x.Port) }, func(l, n GatewayListen) GatewayListen {
		if l.Protocol == n.Protocol && l.Service == n.Service && l.ProxyProtocol == n.ProxyProtocol {
			l.From = unionFrom(l.From, n.From)
		}
		return l
	})
	if len(g.Listens) > len(l.Listens) {
		slices.SortStableFunc(g.Listens, func(a, b GatewayListen) int { return cmp.Compare(a.Port, b.Port) })
	}
	g.Unknown = unionUnknown(l.Unknown, n.Unknown)
	return &g
}
