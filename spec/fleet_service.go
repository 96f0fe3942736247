package spec

import (
	"fmt"
	"slices"
	"time"
)

// Service is a thing that runs on some hosts.
type Service struct {
	Name         string
	Place        Place
	On           []string // host names, resolved and sorted
	Package      *Package // nil with Unit, or where each version has its own
	PackagePlace Place
	Unit         string // "postgresql.service"
	Exec         *Command
	BeforeStart  []*Command // run before Exec, with the service's identity
	Schedule     string     // systemd calendar: the service is a job
	StartAfter   []After
	Restart      string // "always", "on-failure", "never"
	Instances    int    // per host and version
	Env          map[string]string
	EnvPlace     Place
	Secrets      map[string]*Secret // by the variable's name
	SecretEnv    []string           // names of Secrets that are variables, too
	User         string             // with Unit only
	Harden       string             // "strict", "default", "off"
	JIT          bool               // memory may be made executable
	Egress       string             // "declared", "open"
	MTLS         string             // "strict", "permissive"
	Split        map[string]float64 // version -> percent, sum 100, left out = 0; nil without versions
	SplitPlace   Place
	Sticky       string // cookie name
	Nixos        map[string]any
	NixosPlace   Place
	Imports      []Import
	Listens      []*Listen
	Checks       []*Check
	Versions     []*Version // in the order of the file; empty = one without name, see Variants
	Canary       *Canary    // nil = none
	Upstreams    []*Upstream
	Allows       []*Allow
	Routes       []*Route // in the order of the file
	Limits       Limits
	Rollout      ServiceRollout
}

// Variants are the versions as they run, at least one: without version blocks
// one with Name "". Everything that a version may leave out is filled in.
func (s *Service) Variants() []*Version {
	if len(s.Versions) > 0 {
		return s.Versions
	}
	return []*Version{{
		Place: s.Place, On: s.On, Package: s.Package, PackagePlace: s.PackagePlace, Unit: s.Unit, Exec: s.Exec,
		Env: s.Env, EnvPlace: s.EnvPlace, Secrets: s.Secrets,
	}}
}

// Packaged says whether nixmesh makes the service's units, rather than watch
// those of another NixOS module.
func (s *Service) Packaged() bool { return s.Variants()[0].Unit == "" }

// InstanceName names one instance of a service on a host: "web", "web@2",
// "api@v1", "api@v1-2". Version is "" without versions; instance counts from 1.
func InstanceName(service, version string, instance int) string {
	switch {
	case version == "" && instance == 1:
		return service
	case version == "":
		return fmt.Sprintf("%s@%d", service, instance)
	case instance == 1:
		return service + "@" + version
	default:
		return fmt.Sprintf("%s@%s-%d", service, version, instance)
	}
}

// Listen finds a listen by name; "" is the first. Nil when there is none.
func (s *Service) Listen(name string) *Listen {
	for _, l := range s.Listens {
		if name == "" || l.Name == name {
			return l
		}
	}
	return nil
}

// RunsOn says whether the version runs on a host.
func (v *Version) RunsOn(host string) bool { return slices.Contains(v.On, host) }

// Version is one build of a service, with what it leaves out taken from the
// service.
type Version struct {
	Name         string // "" = the service has no versions
	Place        Place
	On           []string // empty = told, and runs nowhere: on = []
	Package      *Package
	PackagePlace Place
	Unit         string
	Exec         *Command
	Env          map[string]string // merged over the service's
	EnvPlace     Place
	Secrets      map[string]*Secret // merged over the service's
	Port         int                // over the first listen's, 0 = not given
}

// Secret is a file that only the service sees. Exactly one of File and Path is set.
type Secret struct {
	Place Place
	File  string // age file below the fleet's folder
	Path  string // absolute, put there by something else
}

// After is one entry of start_after: a service on the same host, or a unit.
type After struct {
	Place   Place
	Service string // "" = Target
	Target  string // "network-online.target"
}

// Listen is a port that a service offers.
type Listen struct {
	Place    Place
	Protocol string // http http2 grpc tcp redis
	Name     string
	Port     int // 0 = allocated: see Lock
	Address  string
}

// Check is one health check of a service.
type Check struct {
	Place   Place
	Kind    string // http tcp grpc exec
	HTTP    string // path
	GRPC    string // health service name, may be empty
	Exec    *Command
	Package *Package
	Listen  string // name of a listen, "" = first
	Every   time.Duration
	Timeout time.Duration
	Rise    int
	Fall    int
	After   time.Duration
}

// Canary is the plan that a shift to a newer version follows.
type Canary struct {
	Place       Place
	Steps       []float64 // percent, rising to 100
	Every       time.Duration
	MinSuccess  float64       // percent
	MaxP99      time.Duration // 0 = not looked at
	MinRequests int
}

// Limits bound what a service may take of its host. Zero = unset.
type Limits struct {
	Place       Place
	Memory      int64   // bytes
	CPU         float64 // percent of one core: 150 = one and a half
	Tasks       int
	Files       int // default 65536
	Connections int // into the service, 0 = no bound
}

// ServiceRollout are a service's own times. Zero = the fleet's.
type ServiceRollout struct {
	Place      Place
	Confirm    time.Duration
	Settle     time.Duration
	MinHealthy int // -1 = all but one
	Drain      time.Duration
	Stop       time.Duration
}
