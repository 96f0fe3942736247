package lab

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Errors that callers tell apart.
var (
	// ErrNotRunning means that no supervisor answers: the lab is down.
	ErrNotRunning = errors.New("the lab is not running")
	// ErrUnsupported means that this machine cannot run a lab.
	ErrUnsupported = errors.New("the lab cannot run on this machine")
)

// bootDeadline bounds the wait for sshd of a host that boots. A boot takes
// two seconds; a busy machine that boots many hosts at once needs longer.
const bootDeadline = 90 * time.Second

// Host is a host as the fleet's spec has it.
type Host struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	SSHPort int        `json:"ssh_port,omitempty"` // where it is reached, 0 = 22
}

func (h Host) sshPort() int { return cmp.Or(h.SSHPort, 22) }

// Options say which lab, and where it keeps what.
type Options struct {
	// StateDir is the lab's own folder, <fleet>/.nixmesh/lab: keys, disks,
	// consoles. Its path is the lab's identity.
	StateDir string
	// Fleet is the fleet's folder; nix sees it at its own path.
	Fleet string
	// Hosts to boot. Only Up reads them.
	Hosts []Host
	// Externals to answer for. Only Up reads them.
	Externals []External
	// Nixpkgs is the flake reference that the hosts' first system is built
	// from. Empty means the stand-in that is embedded in this program.
	Nixpkgs string
	// Cache holds the base image and the stores, shared by all labs of the
	// machine. Empty means DefaultCache.
	Cache string
	// Log receives one line per step that takes time. Nil drops them.
	Log func(line string)
}

// DefaultCache is NIXMESH_CACHE, else /var/cache/nixmesh.
func DefaultCache() string {
	if dir := os.Getenv("NIXMESH_CACHE"); dir != "" {
		return dir
	}
	return "/var/cache/nixmesh"
}

// Lab is one lab of this machine, running or not.
type Lab struct {
	state     string // StateDir without symbolic links
	fleet     string
	hosts     []Host
	externals []External
	nixpkgs   string
	cache     *cache
	log       func(string)
}

// New checks the options and returns the lab; it starts nothing.
func New(o Options) (*Lab, error) {
	if o.StateDir == "" {
		return nil, errors.New("open lab: no state folder")
	}
	if err := os.MkdirAll(o.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("open lab: %w", err)
	}
	state, err := realPath(o.StateDir)
	if err != nil {
		return nil, fmt.Errorf("open lab: %w", err)
	}
	l := &Lab{state: state, hosts: slices.Clone(o.Hosts), externals: slices.Clone(o.Externals), nixpkgs: o.Nixpkgs, log: o.Log}
	if o.Fleet != "" {
		if l.fleet, err = realPath(o.Fleet); err != nil {
			return nil, fmt.Errorf("open lab: %w", err)
		}
	}
	if isStandIn(l.nixpkgs) {
		l.nixpkgs = ""
	}
	if l.log == nil {
		l.log = func(string) {}
	}
	dir := o.Cache
	if dir == "" {
		dir = DefaultCache()
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("open lab: %w", err)
	}
	l.cache = &cache{dir: dir, log: l.log}
	return l, nil
}

// labID names a lab on this machine: eight hexadecimal digits of its folder.
func labID(state string) string {
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:4])
}

// linkName is the name of a lab's interface on the machine.
func linkName(state string) string { return linkPrefix + labID(state) }

func (l *Lab) id() string   { return labID(l.state) }
func (l *Lab) link() string { return linkName(l.state) }

// lock lets one process at a time work on the lab. What `lab up` starts in
// its name inherits the lock until it can be found: the supervisor until it
// listens, ip(8) until it ends. So whoever has the lock sees all that there is
// of the lab, however the holder before ended.
func (l *Lab) lock(ctx context.Context) (*os.File, error) {
	return lockFile(ctx, l.path("lock"), func() { l.log("waiting for another nixmesh lab that works on this lab") })
}

func (l *Lab) path(elem ...string) string {
	return filepath.Join(append([]string{l.state}, elem...)...)
}

// realPath is the absolute path without symbolic links.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}
