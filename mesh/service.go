package mesh

import "slices"

// Service is a thing that runs on hosts of the fleet. One without listens only
// calls.
type Service struct {
	Listens     []Listen           `json:"listens,omitempty"`     // in the spec's order: the first is the default
	Versions    []Version          `json:"versions"`              // in the spec's order, at least one
	Instances   int                `json:"instances"`             // of each version on each of its hosts
	Split       map[string]Percent `json:"split,omitempty"`       // version -> share, sum 100; absent without versions
	Sticky      string             `json:"sticky,omitempty"`      // cookie
	Connections int                `json:"connections,omitempty"` // into one instance's host at once, absent = no bound
	MTLS        string             `json:"mtls"`                  // "strict", "permissive"
	Canary      *Canary            `json:"canary,omitempty"`
	Allows      []Allow            `json:"allows,omitempty"` // by caller; several of one caller add up
	Routes      []Route            `json:"routes,omitempty"` // in the order in which they are tried

	Unknown Unknown `json:"-"`
}

// Listen is what a service offers. Where it listens is each host's own fact.
type Listen struct {
	Name     string `json:"name,omitempty"` // absent where there is one only; the first of a Union may keep that
	Protocol string `json:"protocol"`       // "http", "http2", "grpc", "tcp", "redis"

	Unknown Unknown `json:"-"`
}

// Version is one build of a service, and where it is placed.
type Version struct {
	Name  string `json:"name,omitempty"` // absent = the service has no versions; the first of a Union may keep that
	Hosts Names  `json:"hosts"`

	Unknown Unknown `json:"-"`
}

// Canary is the plan of a shift to another version.
type Canary struct {
	Steps       []Percent `json:"steps"` // rising to 100
	Every       Duration  `json:"every"`
	MinSuccess  Percent   `json:"min_success"`
	MaxP99      *Duration `json:"max_p99,omitempty"` // absent = not looked at
	MinRequests int       `json:"min_requests"`

	Unknown Unknown `json:"-"`
}

// Allow narrows what one caller may do. What is absent is not narrowed.
type Allow struct {
	Caller  string  `json:"caller"`
	Listen  string  `json:"listen,omitempty"`
	Methods Names   `json:"methods,omitempty"`
	Paths   []Path  `json:"paths,omitempty"`
	Headers []Match `json:"headers,omitempty"`
	Shadow  bool    `json:"shadow,omitempty"` // count what it would refuse, and let it pass
	Limit   *Limit  `json:"limit,omitempty"`

	Unknown Unknown `json:"-"`
}

// Listen finds a listen by name; "" is the first. Nil when there is none.
func (s *Service) Listen(name string) *Listen {
	for i := range s.Listens {
		if name == "" || s.Listens[i].Name == name {
			return &s.Listens[i]
		}
	}
	return nil
}

// Namesake is the other name of a listen in a Union: what had no name before, or has
// none afterwards, is the first of those that have one. False where the listen has no
// other name.
func (s *Service) Namesake(listen string) (other string, ok bool) {
	if len(s.Listens) < 2 || s.Listens[0].Name != "" {
		return "", false
	}
	switch first := s.Listens[1].Name; listen {
	case "":
		return first, true
	case first:
		return "", true
	default:
		return "", false
	}
}

// Version finds a version by name, nil when there is none.
func (s *Service) Version(name string) *Version {
	i := slices.IndexFunc(s.Versions, func(v Version) bool { return v.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Versions[i]
}

// RunsOn says whether the configuration places the service on a host.
func (s *Service) RunsOn(host string) bool {
	return slices.ContainsFunc(s.Versions, func(v Version) bool { return slices.Contains(v.Hosts, host) })
}
