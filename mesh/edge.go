package mesh

import "strings"

// Edge is one permission, and how its caller calls: its patience and its choice
// of instances. Those of gateways, which have no upstream blocks, have the
// defaults; their patience is in their routes.
type Edge struct {
	Patience
	ConnectTimeout Duration `json:"connect_timeout"`
	LB             string   `json:"lb"`             // "least_request", "round_robin", "random", "ring_hash", "maglev"
	Hash           string   `json:"hash,omitempty"` // "header:X", "cookie:X", "source"; with ring_hash and maglev
	SlowStart      Duration `json:"slow_start"`
	Panic          Percent  `json:"panic"` // healthy instances below which all are tried
	Outlier        Outlier  `json:"outlier"`
	Circuit        Circuit  `json:"circuit"`
	Failover       Failover `json:"failover"`

	Unknown Unknown `json:"-"`
}

// Patience is how long and how often a call may try. What is absent was not
// given: see Config.Resolve. A time of zero is none.
type Patience struct {
	Timeout     *Duration `json:"timeout,omitempty"`      // of the whole answer, retries included
	IdleTimeout *Duration `json:"idle_timeout,omitempty"` // without traffic
	Retry       *Retry    `json:"retry,omitempty"`
}

// Retry is when a call is tried again.
type Retry struct {
	Attempts int       `json:"attempts"` // after the first
	On       Names     `json:"on"`       // conditions
	PerTry   *Duration `json:"per_try,omitempty"`
	Backoff  Duration  `json:"backoff"` // before the first retry; it grows
	Budget   Percent   `json:"budget"`  // of the active requests that may be retries
	Hedge    bool      `json:"hedge"`   // a try that takes per_try goes on beside the next

	Unknown Unknown `json:"-"`
}

// Outlier is when an instance is left out for failing. Errors 0 = never.
type Outlier struct {
	Errors int      `json:"errors"`
	Every  Duration `json:"every"`
	Eject  Duration `json:"eject"`
	Max    Percent  `json:"max"` // of the instances that may be out at once

	Unknown Unknown `json:"-"`
}

// Circuit bounds what one host has in flight to an upstream for one caller.
type Circuit struct {
	Connections int `json:"connections"`
	Pending     int `json:"pending"`
	Requests    int `json:"requests"`
	Retries     int `json:"retries"`

	Unknown Unknown `json:"-"`
}

// Failover is where calls go when less than Threshold of a level is healthy:
// the caller's zone, its region, anywhere, then the services of To.
type Failover struct {
	To        []string `json:"to,omitempty"` // names of edges of the caller, in this order
	Zones     bool     `json:"zones"`
	Threshold Percent  `json:"threshold"`

	Unknown Unknown `json:"-"`
}

// EdgeName names what an edge leads to: UPSTREAM, or UPSTREAM:LISTEN where the
// listen has a name.
func EdgeName(upstream, listen string) string {
	if listen == "" {
		return upstream
	}
	return upstream + ":" + listen
}

// SplitEdgeName is the upstream and the listen of an EdgeName.
func SplitEdgeName(name string) (upstream, listen string) {
	upstream, listen, _ = strings.Cut(name, ":")
	return upstream, listen
}
