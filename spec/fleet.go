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
	// Authorization is "declared" (an upstream is the permission) or "explicit"
	// (an allow is needed, too).
	Authorization string
	SSH           SSH
	Rollout       Rollout
	CA            CA
	Telemetry     Telemetry
	Operators     []*Operator // sorted by name
	Hosts         []*Host     // sorted by name
	Services      []*Service  // sorted by name
	Gateways      []*Gateway  // sorted by name
	Externals     []*External // sorted by name
	Variables     map[string]any
	LabOverrides  []string          // one line for each override of lab.hcl that acts, "" outside the lab
	LabSecrets    map[string]string // in the lab: age file -> clear text that it stands for there
	Lab           bool              // read with lab.hcl
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
	Gate            Gate
}

// Gate is how much worse than its baseline a wave's traffic may be.
type Gate struct {
	Window      time.Duration
	MinRequests int
	Errors      float64 // percentage points above the baseline
	P99         float64 // percent above the baseline
}

// CA are the lifetimes of the certificates, and which root is the fleet's.
type CA struct {
	LeafTTL         time.Duration
	IntermediateTTL time.Duration
	Root            string // its fingerprint in nixmesh.lock, "" before ca init and in the lab
}

// Telemetry is what the mesh tells of its calls.
type Telemetry struct {
	AccessLog   string   // "off", "errors", "all"
	OTLP        string   // host:port, "" = no traces
	Sample      float64  // percent of the requests that are traced
	MetricsFrom []string // ranges that may scrape the agents; empty = the Unix socket only
}

// Operator is a person (or a CI) who may act on the fleet.
type Operator struct {
	Name   string
	Place  Place
	SSH    []string // authorized_keys lines
	Sign   []string // authorized_keys lines, SSH unless given
	NixKey string   // NAME:BASE64, "" = cannot deploy
	Age    string
	CA     bool     // may open the CA's root
	Access []string // services that the operator may reach
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

// Value: free-form attributes (`nixos`) are trees of nil, bool, string, int64,
// float64, []any and map[string]any.
