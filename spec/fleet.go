package spec

import "time"

// Fleet is the checked specification with every default filled in.
type Fleet struct {
	Dir          string // absolute folder that holds nixmesh.hcl
	Name         string
	Place        Place
	Nixpkgs      string            // flake reference
	Inputs       map[string]string // name -> flake reference
	InputPlaces  map[string]Place
	Overlays     []string // paths below Dir, slash-separated, no leading "./"
	OverlayPlace Place
	Constraint   string // fleet.nixmesh, "" = any
	Domain       string
	KeepReleases int
	SSH          SSH
	Rollout      Rollout
	Operators    []*Operator
	Hosts        []*Host    // sorted by name
	Services     []*Service // sorted by name
	LabOverrides []string   // one line for each override of lab.hcl that acts, "" outside the lab
}

// Place is where something stands in the HCL.
type Place struct {
	File  string // below the fleet's folder
	Line  int    // from 1
	Block string // `service "web"`, may be empty
}

// SSH is how a host is reached.
type SSH struct {
	User string
	Port int
	Key  string // private key file, "" = SSH agent and the defaults of ssh -G
	Jump string // user@host:port, "" = direct
}

// Rollout is the fleet's way through its hosts.
type Rollout struct {
	Place           Place
	Order           [][]string // waves: host names, resolved, each host in its first wave only
	OrderText       []string   // the selectors as written, "" for the wave of all
	Parallel        int        // hosts at once in a wave, if ParallelPct is 0
	ParallelPct     float64    // percent of the wave's hosts, at least one
	Confirm         time.Duration
	Settle          time.Duration
	ActivateTimeout time.Duration
	Soak            time.Duration
	OnFail          string // "stop", "revert-wave", "revert-release"
	MaxFailed       int
	LastResort      string // "reboot", "hold"
}

// Operator is a person (or a CI) who may act on the fleet.
type Operator struct {
	Name   string
	Place  Place
	SSH    []string // authorized_keys lines
	Sign   []string // authorized_keys lines, SSH unless given
	NixKey string   // NAME:BASE64, "" = cannot deploy
	Age    string
}

// Host is one machine.
type Host struct {
	Name       string
	Place      Place
	Address    string // IP literal
	Tags       []string
	Zone       string
	HostKey    string // "ssh-ed25519 AAAA…", from the spec; "" = look in the lock
	System     string // "x86_64-linux"
	Config     string // INPUT#nixosConfigurations.NAME
	Imports    []Import
	Nixos      map[string]any // see Value
	NixosPlace Place
	BuildOn    string // "local", "target"
	SSH        SSH    // merged with the fleet's
}

// Import is one entry of imports: a file of the fleet's folder or a flake's output.
type Import struct {
	Path  string // below the fleet's folder, "" for a flake output
	Input string // input name, for INPUT#attr
	Attr  string // "nixosModules.disko"
	Place Place
}

// Service is a thing that runs on some hosts.
type Service struct {
	Name         string
	Place        Place
	On           []string // host names, resolved and sorted
	Package      *Package // nil with Unit
	PackagePlace Place
	Unit         string // "postgresql.service"
	Exec         *Command
	Env          map[string]string
	EnvPlace     Place
	User         string // with Unit only
	Harden       string // "strict", "default", "off"
	Nixos        map[string]any
	NixosPlace   Place
	Imports      []Import
	Listens      []*Listen
	Checks       []*Check
	Limits       Limits
	Rollout      ServiceRollout
}

// Package is an attribute of a package set.
type Package struct {
	Input string // "" = the fleet's nixpkgs
	Attr  string // "shop-web"
}

// Command is a command line split into words. Words hold literal text and
// references; the compiler writes them for systemd.
type Command struct {
	Place Place
	Words [][]Part
}

// Part is a piece of a word: either Text or the name of a variable.
type Part struct {
	Text string
	Var  string
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

// Limits bound what a service may take of its host. Zero = unset.
type Limits struct {
	Place  Place
	Memory int64   // bytes
	CPU    float64 // percent of one core: 150 = one and a half
	Tasks  int
	Files  int // default 65536
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

// Value: free-form attributes (`nixos`) are trees of nil, bool, string, int64,
// float64, []any and map[string]any.
