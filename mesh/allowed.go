package mesh

import (
	"slices"
	"strings"
)

// Request is one call: of the HTTP request that it makes, where it makes one.
type Request struct {
	Caller  string            `json:"caller"`            // service, gateway or "operator/NAME"
	Callee  string            `json:"callee"`            // service or external
	Listen  string            `json:"listen,omitempty"`  // absent = the first
	Host    string            `json:"host,omitempty"`    // that a client asked a gateway for
	Method  string            `json:"method,omitempty"`  // absent = GET
	Path    string            `json:"path,omitempty"`    // perhaps with a query; absent = "/"
	Headers map[string]string `json:"headers,omitempty"` // names in lower case
}

// Why is the reason of a verdict.
type Why string

// Reasons. The first five let a call pass.
const (
	WhyEdge     Why = "edge"     // of its own, or of an operator's access, and nothing narrows it
	WhyAllow    Why = "allow"    // one of the callee's allows admits it
	WhyShadow   Why = "shadow"   // the callee's allows of this caller are all shadows
	WhyAnswered Why = "answered" // a route answers it before it reaches the callee; of Explain
	WhyUnknown  Why = "unknown"  // there is no such callee or listen
	WhyNoEdge   Why = "no edge"
	WhyNoAllow  Why = "no allow"  // and Explicit asks for one
	WhyNarrowed Why = "narrowed"  // none of the callee's allows of this caller admits it
	WhyNoRoute  Why = "no route"  // the gateway answers 404; of Explain
	WhyOther    Why = "elsewhere" // the gateway's route leads to others; of Explain
)

// Verdict says whether a callee takes a request.
type Verdict struct {
	Allowed bool `json:"allowed"`
	Why     Why  `json:"why"`
	Allow   int  `json:"allow"`   // index of the first of the callee's allows that admits it, whose limit counts; -1 = none
	Counted bool `json:"counted"` // a shadow would refuse it
}

// Allowed says whether the callee takes a request. It judges the request as it
// comes in there, when gateways and routes have changed what they change of it:
// see Explain for the way up to there.
//
// An edge, or an operator's access, is needed in any case. Allows narrow their
// own caller to what any of them admits; what one asks of a request admits no
// connection on tcp. A caller without one is not narrowed, or with Explicit not
// allowed. A shadow admits and refuses nothing as long as there is another allow
// of that caller; alone, shadows let everything pass.
func (c *Config) Allowed(r Request) Verdict {
	protocol, listen, err := c.offered(r.Callee, r.Listen)
	if err != nil {
		return refused(WhyUnknown)
	}
	operator, isOperator := strings.CutPrefix(r.Caller, "operator/")
	if isOperator {
		if o := c.Operators[operator]; o == nil || !slices.Contains(o.Access, r.Callee) {
			return refused(WhyNoEdge)
		}
	} else if c.Edges[r.Caller][EdgeName(r.Callee, listen)] == nil {
		return refused(WhyNoEdge)
	}
	s := c.Services[r.Callee]
	if s == nil {
		return Verdict{Allowed: true, Why: WhyEdge, Allow: -1}
	}
	v := s.narrow(r.normal(), listen, protocol)
	if v.Why == WhyEdge && c.Authorization == Explicit && !isOperator {
		return refused(WhyNoAllow)
	}
	return v
}

func refused(why Why) Verdict { return Verdict{Why: why, Allow: -1} }

// narrow is the verdict of a service's allows alone.
func (s *Service) narrow(r Request, listen, protocol string) Verdict {
	enforced, shadows, by, shadowBy := false, false, -1, -1
	for i := range s.Allows {
		a := &s.Allows[i]
		if a.Caller != r.Caller {
			continue
		}
		admits := a.admits(r, listen, protocol)
		if a.Shadow {
			shadows = true
			if admits && shadowBy < 0 {
				shadowBy = i
			}
			continue
		}
		enforced = true
		if admits && by < 0 {
			by = i
		}
	}
	switch {
	case by >= 0:
		return Verdict{Allowed: true, Why: WhyAllow, Allow: by}
	case enforced:
		return refused(WhyNarrowed)
	case shadows:
		return Verdict{Allowed: true, Why: WhyShadow, Allow: shadowBy, Counted: shadowBy < 0}
	default:
		return Verdict{Allowed: true, Why: WhyEdge, Allow: -1}
	}
}

func (a *Allow) admits(r Request, listen, protocol string) bool {
	if a.Listen != "" && a.Listen != listen {
		return false
	}
	if !isHTTP(protocol) {
		return len(a.Methods) == 0 && len(a.Paths) == 0 && len(a.Headers) == 0
	}
	path, _ := r.split()
	return (len(a.Methods) == 0 || slices.Contains(a.Methods, r.Method)) &&
		(len(a.Paths) == 0 || slices.ContainsFunc(a.Paths, func(p Path) bool { return p.Takes(path) })) &&
		matchAll(a.Headers, r.header)
}
