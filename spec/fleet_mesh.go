package spec

import "time"

// Upstream is one declared edge: the permission to call a service or external,
// and how the caller calls it. A nil time is not given; zero is "none".
type Upstream struct {
	Name           string // of a service or external
	Place          Place
	Listen         string // name of the upstream's listen, "" = its first
	Port           int    // at the caller, 0 = the default ports
	Timeout        *time.Duration
	IdleTimeout    *time.Duration
	ConnectTimeout time.Duration
	LB             string // least_request round_robin random ring_hash maglev
	Hash           string // "header:X", "cookie:X", "source"; with ring_hash and maglev
	SlowStart      time.Duration
	Panic          float64 // percent of healthy endpoints below which all are tried
	Retry          *Retry  // nil = no retry
	Outlier        Outlier
	Circuit        Circuit
	Failover       Failover
}

// Retry is when and how often a call is tried again.
type Retry struct {
	Place    Place
	Attempts int      // retries, not counting the first try
	On       []string // conditions, see RetryConditions
	PerTry   *time.Duration
	Backoff  time.Duration
	Budget   float64 // percent of the active requests that may be retries
	Hedge    bool
}

// Outlier is when an endpoint is left out for failing. Errors 0 = never.
type Outlier struct {
	Errors int
	Every  time.Duration
	Eject  time.Duration
	Max    float64 // percent of the endpoints that may be out at once
}

// Circuit bounds what one caller's host has in flight to an upstream.
type Circuit struct {
	Connections int
	Pending     int
	Requests    int
	Retries     int
}

// Failover is where calls go when too few endpoints are healthy.
type Failover struct {
	Place     Place
	To        []string // services, in this order, after all zones
	Zones     bool     // prefer the own zone, then the region
	Threshold float64  // percent
}

// Allow narrows what one caller may do.
type Allow struct {
	Caller  string // a service, a gateway, or "operator/NAME"
	Place   Place
	Methods []string // empty = all
	Paths   []Path   // empty = all
	Headers []Match
	Listen  string // "" = all
	Shadow  bool   // count, do not refuse
	Limit   *Limit
}

// Path is a rule for paths.
type Path struct {
	Kind string // "prefix", "exact", "regex"
	Text string // "/reports/", "/healthz", `/v[0-9]+/.*`
}

// Match is a rule for one header, cookie or query argument.
type Match struct {
	Name string
	Kind string // "exact", "present", "regex"
	Text string // empty with "present"
	Not  bool   // the rule's opposite
}

// Route says what happens to some of a service's requests.
type Route struct {
	Path        Path
	Place       Place
	From        []string // callers, empty = all
	Methods     []string
	Headers     []Match
	Cookies     []Match
	Query       []Match
	To          string             // version, "" = see the others
	Split       map[string]float64 // version -> percent
	Redirect    *Redirect
	Respond     *Respond
	Sticky      string
	Timeout     *time.Duration
	IdleTimeout *time.Duration
	Retry       *Retry
	Rewrite     string // "" = nothing
	Mirror      *Mirror
	Request     HeaderChange
	Response    HeaderChange
	Limit       *Limit
}

// Redirect answers with another place to ask.
type Redirect struct {
	To     string // URL or path
	Status int
}

// Respond answers without asking the service.
type Respond struct {
	Status int
	Body   string
}

// Mirror sends a copy of requests to a version; its answers are dropped.
type Mirror struct {
	Place   Place
	Service string // of a gateway's route; "" = the service that has the route
	To      string // version; "" = by the service's split, at a gateway only
	Percent float64
}

// HeaderChange sets and removes headers.
type HeaderChange struct {
	Set    map[string]string
	Remove []string
}

// Limit bounds the rate of requests.
type Limit struct {
	Place  Place
	Rate   Rate
	Burst  int
	By     string // "caller", "client"
	Shared bool   // one budget over all hosts
}

// Rate is a number of requests in a time.
type Rate struct {
	Count int
	Per   time.Duration // second, minute, hour
}

// Gateway lets calls from outside in.
type Gateway struct {
	Name          string
	Place         Place
	On            []string
	ACME          string // mail address
	Cert          string // file below the fleet's folder, "mesh-ca" or (in a lab) "lab-ca"
	Key           string // age file
	TLS           []*GatewayTLS
	Listens       []*GatewayListen
	HTTP3         bool
	Compress      bool
	MaxHeaders    int64 // bytes
	MaxBody       int64 // bytes, 0 = no bound
	ClientTimeout time.Duration
	BodyTimeout   time.Duration // 0 = no bound
	Connections   int
	Auths         []*Auth
	Routes        []*GatewayRoute
}

// GatewayTLS is another certificate for one host name.
type GatewayTLS struct {
	Host  string // "shop.example", "*.shop.example"
	Place Place
	ACME  string
	Cert  string
	Key   string
}

// GatewayListen is a port that a gateway takes.
type GatewayListen struct {
	Protocol      string // http https tcp
	Place         Place
	Port          int
	ProxyProtocol bool
	To            string   // tcp: service
	From          []string // ranges that may connect; none = everybody
	Default       bool     // not written in the HCL
}

// Auth is a way to tell who calls from outside. JWT (Issuer …) or Service.
type Auth struct {
	Name      string
	Place     Place
	Issuer    string
	Audiences []string
	JWKS      string            // file below the fleet's folder, or a URL of an external
	Claims    map[string]string // claim -> header
	Service   string
	Timeout   time.Duration
}

// GatewayRoute is a route of a gateway: below a host name, to a service.
type GatewayRoute struct {
	Route
	Host    string // "shop.example", "*.shop.example"
	Service string // of To, "" with Redirect, Respond or Targets
	Targets []Target
	Auth    []string
	MaxBody int64

	BodyTimeout *time.Duration // nil = the gateway's
	CORS        *CORS
}

// Target is a share of a gateway's split: Route.To is the version of a single one.
type Target struct {
	Service string
	Version string
	Percent float64
}

// CORS lets pages of other origins call.
type CORS struct {
	Place       Place
	Origins     []string
	Methods     []string
	Headers     []string
	Credentials bool
	MaxAge      time.Duration // 0 = not given
}

// External is a service that is not the fleet's.
type External struct {
	Name       string
	Place      Place
	Hosts      []Endpoint
	Protocol   string   // http http2 grpc tcp redis
	Via        []string // host names, empty = from each caller's host
	TLS        string   // originate passthrough off
	ServerName string   // the first host's name unless given
	CA         string   // "system", or a file below the fleet's folder
	Cert       string
	Key        string
}

// Endpoint is one address of an external.
type Endpoint struct {
	Host string // name, "*.name" or IP
	Port int
}
