package mesh

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Explanation is what becomes of a request, and which rule says so. Indexes are
// into the configuration's lists; -1 stands for none of them.
type Explanation struct {
	Asked        Request `json:"asked"`    // as the caller, or a gateway's client, makes it
	Received     Request `json:"received"` // as the callee gets it
	Protocol     string  `json:"protocol"`
	Verdict      Verdict `json:"verdict"`
	GatewayRoute int     `json:"gateway_route"` // of the calling gateway
	Route        int     `json:"route"`         // of the callee
	Answer       string  `json:"answer,omitempty"`

	// What acts on calls that are allowed.
	Timeout     Acting   `json:"timeout"`
	IdleTimeout Acting   `json:"idle_timeout"`
	Retry       Acting   `json:"retry"`
	To          []Share  `json:"to,omitempty"`
	Failover    []string `json:"failover,omitempty"` // edges, in this order

	Lines []Line `json:"lines"` // the same for people
}

// Acting is a value, and who said so; "" where nothing acts.
type Acting struct {
	Value string `json:"value,omitempty"`
	From  Source `json:"from,omitempty"`
}

func (a Acting) String() string { return fmt.Sprintf("%s (%s)", a.Value, a.From) }

// Share is a part of the calls: of a version, and the hosts that have it, or of
// an external's addresses.
type Share struct {
	Version   string   `json:"version,omitempty"`
	Percent   Percent  `json:"percent"`
	Endpoints []string `json:"endpoints"` // "app1 10.0.0.21", "api.stripe.com:443"
}

// Line is one step of an explanation: "edge", "gateway", "narrow", "route",
// "times", "calls", "to", "failover".
type Line struct {
	Step string `json:"step"`
	Text string `json:"text"`
}

// Explain follows a request from its caller to the hosts that may get it.
// Without a listen it goes to the one that the caller names, if that is one. A
// caller that is a gateway stands for its clients: the request is theirs, and
// without a host it is of the first route that leads to the callee. The error is
// that a name is unknown.
func (c *Config) Explain(r Request) (*Explanation, error) {
	operator, isOperator := strings.CutPrefix(r.Caller, "operator/")
	if c.Services[r.Caller] == nil && c.Gateways[r.Caller] == nil && (!isOperator || c.Operators[operator] == nil) {
		return nil, fmt.Errorf("nobody who calls is named %s", r.Caller)
	}
	if r.Listen == "" {
		r.Listen = c.onlyListen(r.Caller, r.Callee)
	}
	protocol, listen, err := c.offered(r.Callee, r.Listen)
	if err != nil {
		return nil, err
	}
	r.Listen = listen
	if isHTTP(protocol) {
		r = r.normal()
	} else {
		r.Host, r.Method, r.Path, r.Headers = "", "", "", nil
	}
	e := &explainer{config: c, x: &Explanation{Asked: r, Received: r, Protocol: protocol, GatewayRoute: -1, Route: -1}}
	e.explain()
	return e.x, nil
}

// onlyListen is the listen of a caller's only edge to somebody, "" without.
func (c *Config) onlyListen(caller, callee string) string {
	var found []string
	for edge := range c.Edges[caller] {
		if upstream, listen := SplitEdgeName(edge); upstream == callee {
			found = append(found, listen)
		}
	}
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

type explainer struct {
	config  *Config
	x       *Explanation
	through *GatewayRoute // that leads to the callee, nil without
	target  Target        // of it
	route   *Route        // of the callee, nil without
}

func (e *explainer) line(step, format string, args ...any) {
	e.x.Lines = append(e.x.Lines, Line{step, fmt.Sprintf(format, args...)})
}

func (e *explainer) explain() {
	x := e.x
	x.Verdict = e.config.Allowed(x.Asked)
	e.line("edge", "%s", e.edgeText())
	if x.Verdict.Why == WhyNoEdge {
		return
	}
	s := e.config.Services[x.Asked.Callee]
	if isHTTP(x.Protocol) {
		if g := e.config.Gateways[x.Asked.Caller]; g != nil && !e.gateway(g) {
			return
		}
		if s != nil && !e.calleeRoute(s) {
			return
		}
	}
	if isHTTP(x.Protocol) {
		x.Received = x.Received.normal() // a rewrite may not have been in that form
	}
	x.Verdict = e.config.Allowed(x.Received)
	e.line("narrow", "%s", e.narrowText(s))
	if !x.Verdict.Allowed {
		return
	}
	if s != nil && isHTTP(x.Protocol) {
		e.line("route", "%s", e.routeText())
	}
	e.times()
	e.to(s)
}

// calleeRoute finds the callee's route, and says whether the request goes on.
func (e *explainer) calleeRoute(s *Service) bool {
	x := e.x
	x.Route = slices.IndexFunc(s.Routes, func(r Route) bool { return r.matches(x.Received) })
	if x.Route < 0 {
		return true
	}
	e.route = &s.Routes[x.Route]
	if answer := answerText(e.route.Handling); answer != "" {
		return e.answered("route", ruleText(e.route.Rule), answer)
	}
	x.Received = e.route.through(x.Received, e.route.Handling)
	return true
}

// answered ends an explanation: the proxy that has the route answers by itself.
func (e *explainer) answered(step, rule, answer string) bool {
	e.x.Answer = answer
	e.x.Verdict = Verdict{Allowed: true, Why: WhyAnswered, Allow: -1}
	e.line(step, "%s: %s", rule, answer)
	return false
}

func answerText(h Handling) string {
	switch {
	case h.Redirect != nil:
		return fmt.Sprintf("redirect to %s (%d)", h.Redirect.To, h.Redirect.Status)
	case h.Respond != nil:
		return strings.TrimSpace(fmt.Sprintf("respond %d %s", h.Respond.Status, http.StatusText(h.Respond.Status)))
	default:
		return ""
	}
}

// times resolves patience. Operators have none: they wait themselves.
func (e *explainer) times() {
	x := e.x
	asked := Asked{Caller: x.Asked.Caller, Upstream: x.Asked.Callee, Listen: x.Asked.Listen, Route: e.route, GatewayRoute: e.through}
	acts, err := e.config.Resolve(asked)
	if err != nil {
		return
	}
	x.Timeout = Acting{timeText(acts.Timeout), acts.TimeoutFrom}
	x.IdleTimeout = Acting{timeText(acts.IdleTimeout), acts.IdleTimeoutFrom}
	x.Retry = Acting{"none", acts.RetryFrom}
	if r := acts.Retry; r != nil {
		x.Retry.Value = fmt.Sprintf("%d on %s", r.Attempts, strings.Join(r.On, ", "))
	}
	e.line("times", "timeout %s, idle %s, retry %s", x.Timeout, x.IdleTimeout, x.Retry)
	e.line("calls", "%s", callsText(e.config.Edges[asked.Caller][EdgeName(asked.Upstream, asked.Listen)]))
}

// to lists who may get the request.
func (e *explainer) to(s *Service) {
	x := e.x
	if s == nil {
		external := e.config.Externals[x.Asked.Callee]
		share := Share{Percent: 100}
		for _, at := range external.Hosts {
			share.Endpoints = append(share.Endpoints, fmt.Sprintf("%s:%d", at.Host, at.Port))
		}
		x.To = []Share{share}
		via := ""
		if len(external.Via) > 0 {
			via = ", from " + strings.Join(external.Via, ", ")
		}
		e.line("to", "%s%s", strings.Join(share.Endpoints, ", "), via)
	} else {
		x.To = e.shares(s)
		all := map[string]bool{}
		for _, share := range x.To {
			for _, at := range share.Endpoints {
				all[at] = true
			}
		}
		e.line("to", "%s", orNone(slices.Sorted(maps.Keys(all))))
	}
	if edge := e.config.Edges[x.Asked.Caller][EdgeName(x.Asked.Callee, x.Asked.Listen)]; edge != nil && len(edge.Failover.To) > 0 {
		x.Failover = edge.Failover.To
		e.line("failover", "then %s", strings.Join(x.Failover, ", "))
	}
}

// shares are the versions that get requests: by the callee's route, else by the
// gateway's, else by the split; without any, the first version gets all.
func (e *explainer) shares(s *Service) []Share {
	split := s.Split
	switch {
	case e.route != nil && e.route.To != "":
		split = map[string]Percent{e.route.To: 100}
	case e.route != nil && len(e.route.Split) > 0:
		split = e.route.Split
	case e.target.Version != "":
		split = map[string]Percent{e.target.Version: 100}
	case len(split) == 0:
		split = map[string]Percent{s.Versions[0].Name: 100}
	}
	var shares []Share
	for _, v := range s.Versions {
		if split[v.Name] <= 0 {
			continue
		}
		share := Share{Version: v.Name, Percent: split[v.Name]}
		for _, host := range v.Hosts.sorted() {
			share.Endpoints = append(share.Endpoints, host+" "+e.config.Hosts[host].Address)
		}
		shares = append(shares, share)
	}
	return shares
}
