package mesh

// Route says what happens to some of a service's requests.
type Route struct {
	Rule
	To     string             `json:"to,omitempty"`     // version
	Split  map[string]Percent `json:"split,omitempty"`  // version -> share
	Mirror *Mirror            `json:"mirror,omitempty"` // to a version
	Handling

	Unknown Unknown `json:"-"`
}

// Rule is which requests a route takes: those to which all of it applies.
type Rule struct {
	Path    Path    `json:"path"`
	From    Names   `json:"from,omitempty"` // callers
	Methods Names   `json:"methods,omitempty"`
	Headers []Match `json:"headers,omitempty"` // by name
	Cookies []Match `json:"cookies,omitempty"`
	Query   []Match `json:"query,omitempty"`
}

// Handling is what else happens to a request on its way.
type Handling struct {
	Patience
	Redirect *Redirect     `json:"redirect,omitempty"`
	Respond  *Respond      `json:"respond,omitempty"`
	Sticky   string        `json:"sticky,omitempty"`  // cookie
	Rewrite  string        `json:"rewrite,omitempty"` // for the matched prefix or path
	Request  *HeaderChange `json:"request,omitempty"`
	Response *HeaderChange `json:"response,omitempty"`
	Limit    *Limit        `json:"limit,omitempty"`
}

// Kinds of paths.
const (
	PathPrefix = "prefix" // ends in a slash
	PathExact  = "exact"
	PathRegex  = "regex" // RE2, of the whole path
)

// Path is a rule for paths.
type Path struct {
	Kind string `json:"kind"`
	Text string `json:"text"`

	Unknown Unknown `json:"-"`
}

// Kinds of matches.
const (
	MatchExact   = "exact"
	MatchPresent = "present"
	MatchRegex   = "regex" // RE2, of the whole value
)

// Match is a rule for one header, cookie or query argument.
type Match struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	Text string `json:"text,omitempty"`
	Not  bool   `json:"not,omitempty"` // the rule's opposite

	Unknown Unknown `json:"-"`
}

// Redirect answers with another place to ask.
type Redirect struct {
	To     string `json:"to"` // URL or path
	Status int    `json:"status"`

	Unknown Unknown `json:"-"`
}

// Respond answers without asking anybody.
type Respond struct {
	Status int    `json:"status"`
	Body   string `json:"body,omitempty"`

	Unknown Unknown `json:"-"`
}

// Mirror sends a copy of requests elsewhere; its answers are dropped.
type Mirror struct {
	Service string  `json:"service,omitempty"` // of a gateway's route; absent = the service that has the route
	Version string  `json:"version,omitempty"` // absent = by the service's split, at gateways only
	Percent Percent `json:"percent"`

	Unknown Unknown `json:"-"`
}

// HeaderChange sets and removes headers.
type HeaderChange struct {
	Set    map[string]string `json:"set,omitempty"`
	Remove Names             `json:"remove,omitempty"`

	Unknown Unknown `json:"-"`
}

// Limit bounds the rate of requests.
type Limit struct {
	Count  int      `json:"count"`
	Per    Duration `json:"per"` // 1s, 1m or 1h
	Burst  int      `json:"burst"`
	By     string   `json:"by"`     // "caller", "client": who has a budget
	Shared bool     `json:"shared"` // one budget over all hosts

	Unknown Unknown `json:"-"`
}
