package mesh

import (
	"reflect"
	"slices"
	"strings"
)

// permissions are what a configuration lets callers do at services.
type permissions struct {
	config  *Config
	callers map[string]map[string][]string // service -> caller -> listens that it has edges to; an operator's are all: nil
}

func permissionsOf(c *Config) permissions {
	p := permissions{c, map[string]map[string][]string{}}
	add := func(service, caller string, listens ...string) {
		if p.callers[service] == nil {
			p.callers[service] = map[string][]string{}
		}
		p.callers[service][caller] = append(p.callers[service][caller], listens...)
	}
	for _, caller := range keys(c.Edges) {
		for _, edge := range keys(c.Edges[caller]) {
			upstream, listen := SplitEdgeName(edge)
			add(upstream, caller, listen)
		}
	}
	for operator, o := range c.Operators {
		for _, service := range o.Access {
			add(service, "operator/"+operator)
		}
	}
	return p
}

// permission is what one caller may do at one service.
type permission struct {
	calls   bool     // it has an edge or access
	all     bool     // it may do everything there: it has no allow, or shadows only
	listens []string // of its edges
	allows  []Allow  // of this caller
}

func (p permissions) of(caller, service string) permission {
	listens, calls := p.callers[service][caller]
	s := p.config.Services[service]
	if !calls || s == nil {
		return permission{}
	}
	own := permission{calls: true, all: true, listens: listens}
	for _, a := range s.Allows {
		if a.Caller == caller {
			own.allows = append(own.allows, a)
			own.all = own.all && a.Shadow
		}
	}
	if len(own.allows) == 0 && p.config.Authorization == Explicit && !isOperator(caller) {
		own.all = false
	}
	return own
}

func isOperator(caller string) bool { return strings.HasPrefix(caller, "operator/") }

// unionAllows are the allows of a service of the union. Where the two are of one
// mind they are taken as they are; else each caller's are put together.
func unionAllows(live, next permissions, authorization, service string) []Allow {
	l, n := live.config.Services[service], next.config.Services[service]
	switch {
	case live.config.Authorization != next.config.Authorization:
	case n == nil:
		return l.Allows
	case l == nil:
		return n.Allows
	case reflect.DeepEqual(l.Allows, n.Allows) && reflect.DeepEqual(live.callers[service], next.callers[service]):
		return l.Allows
	}
	var all []Allow
	for _, caller := range union(live.callers[service], next.callers[service]) {
		silent := authorization == Declared || isOperator(caller) // no allow is everything
		all = append(all, uniteAllows(caller, silent, live.of(caller, service), next.of(caller, service))...)
	}
	return all
}

// uniteAllows lets a caller do what either permission lets it do.
func uniteAllows(caller string, silent bool, x, y permission) []Allow {
	if x.calls && y.calls && !slices.Equal(x.listens, y.listens) {
		mine, others := x.onItsListens(), y.onItsListens()
		if x.all || y.all || !silent || admits(mine) || admits(others) { // else no allow would be everything
			x.allows, y.allows = mine, others
		}
	}
	both := slices.Clip(x.allows)
	for _, a := range y.allows {
		if !holdsAllow(both, a, y.listens) {
			both = append(both, a)
		}
	}
	if (x.all || !x.calls) && (y.all || !y.calls) && (silent || len(both) > 0) {
		return both // none, or shadows only: which let everything pass
	}
	var everything []Allow // before the others, since the limit of the first that admits counts
	for _, a := range append(x.spelledOut(caller), y.spelledOut(caller)...) {
		if !holdsAllow(slices.Concat(everything, both), a, nil) {
			everything = append(everything, a)
		}
	}
	return append(everything, both...)
}

// holdsAllow says whether an allow is in a list, as it is or once for each of
// the listens that its caller has edges to.
func holdsAllow(allows []Allow, a Allow, listens []string) bool {
	if slices.ContainsFunc(allows, func(b Allow) bool { return reflect.DeepEqual(a, b) }) {
		return true
	}
	return a.Listen == "" && len(listens) > 0 && !slices.ContainsFunc(listens, func(listen string) bool {
		on := a
		on.Listen = listen
		return listen == "" || !holdsAllow(allows, on, nil)
	})
}

// onItsListens are the allows where the other configuration has edges to other
// listens, which they should not admit to: an allow on one to which there is no edge
// admits to nothing here, and where none is left the caller may do nothing. A listen
// without a name cannot be named.
func (p permission) onItsListens() []Allow {
	if slices.Contains(p.listens, "") {
		return p.allows
	}
	var allows []Allow
	for _, a := range p.allows {
		for _, listen := range p.listens {
			if a.Listen == "" || a.Listen == listen {
				on := a
				on.Listen = listen
				allows = append(allows, on)
			}
		}
	}
	if !p.all && !admits(allows) {
		return nil
	}
	return allows
}

// admits says whether one of the allows lets anything pass: the others only count.
func admits(allows []Allow) bool {
	return slices.ContainsFunc(allows, func(a Allow) bool { return !a.Shadow })
}

// spelledOut are allows that admit everything, for a caller that may do that.
func (p permission) spelledOut(caller string) []Allow {
	if !p.all {
		return nil
	}
	if isOperator(caller) {
		return []Allow{{Caller: caller}}
	}
	var allows []Allow
	for _, listen := range p.listens {
		allows = append(allows, Allow{Caller: caller, Listen: listen})
	}
	return allows
}
