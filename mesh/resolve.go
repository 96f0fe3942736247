package mesh

import "fmt"

// Upgraded is the entry of Config.Defaults for connections that begin as HTTP
// and go on as something else, such as WebSockets.
const Upgraded = "upgraded"

// Defaults is the patience of calls for which neither the caller nor a route
// says anything. Zero is none. There is no retry by default.
type Defaults struct {
	Timeout     Duration `json:"timeout"`
	IdleTimeout Duration `json:"idle_timeout"`

	Unknown Unknown `json:"-"`
}

// Source is who said something about a call.
type Source string

// Sources, the strongest first.
const (
	FromRoute        Source = "route"         // of the callee
	FromGatewayRoute Source = "gateway route" // in the place of an upstream, which gateways have not
	FromUpstream     Source = "upstream"      // of the caller
	FromDefault      Source = "default"
)

// Asked is one kind of call: from a caller to an upstream's listen, "" being
// the first, on the route that it takes there, nil being none.
type Asked struct {
	Caller       string
	Upstream     string
	Listen       string
	Route        *Route
	GatewayRoute *GatewayRoute // that led there, nil unless the caller is a gateway
	Upgraded     bool
}

// Effective is the patience that acts, and who said so. Zero times are none; a
// nil Retry is no retry.
type Effective struct {
	Timeout     Duration
	IdleTimeout Duration
	Retry       *Retry

	TimeoutFrom     Source
	IdleTimeoutFrom Source
	RetryFrom       Source
}

// Resolve says how long and how often a call may try: the callee's route over
// the caller's upstream over the default, each of timeout, idle timeout and
// retry for itself. A retry is taken whole. A connection that was upgraded has
// no timeout, since it has no answer to wait for. The error is that nobody lets
// the caller call.
func (c *Config) Resolve(a Asked) (Effective, error) {
	protocol, listen, err := c.offered(a.Upstream, a.Listen)
	if err != nil {
		return Effective{}, err
	}
	edge := c.Edges[a.Caller][EdgeName(a.Upstream, listen)]
	if edge == nil {
		return Effective{}, fmt.Errorf("%s may not call %s", a.Caller, EdgeName(a.Upstream, listen))
	}
	if a.Upgraded {
		protocol = Upgraded
	}
	base := c.Defaults[protocol]
	e := Effective{
		Timeout: base.Timeout, TimeoutFrom: FromDefault,
		IdleTimeout: base.IdleTimeout, IdleTimeoutFrom: FromDefault,
		RetryFrom: FromDefault,
	}
	e.over(edge.Patience, FromUpstream)
	if a.GatewayRoute != nil {
		e.over(a.GatewayRoute.Patience, FromGatewayRoute)
	}
	if a.Route != nil {
		e.over(a.Route.Patience, FromRoute)
	}
	if a.Upgraded {
		e.Timeout, e.TimeoutFrom = 0, FromDefault
	}
	return e, nil
}

// over takes what somebody stronger says.
func (e *Effective) over(p Patience, from Source) {
	if p.Timeout != nil {
		e.Timeout, e.TimeoutFrom = *p.Timeout, from
	}
	if p.IdleTimeout != nil {
		e.IdleTimeout, e.IdleTimeoutFrom = *p.IdleTimeout, from
	}
	if p.Retry != nil {
		e.Retry, e.RetryFrom = p.Retry, from
	}
}

// offered is the protocol and the name of a listen of a service or external.
func (c *Config) offered(name, listen string) (protocol, resolved string, err error) {
	if x := c.Externals[name]; x != nil && listen == "" {
		return x.Protocol, "", nil
	}
	s := c.Services[name]
	if s == nil {
		return "", "", fmt.Errorf("nothing is named %s", EdgeName(name, listen))
	}
	l := s.Listen(listen)
	if l == nil {
		return "", "", fmt.Errorf("%s does not listen on %q", name, listen)
	}
	return l.Protocol, l.Name, nil
}
