package deploy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/spec"
)

// Deployer holds what every operation on a fleet needs. All fields are set
// before the first use; Close ends its connections.
type Deployer struct {
	Fleet   *spec.Fleet
	Store   Store    // where this machine's toplevels are
	Dial    Dialer   // opens connections
	Verify  Verifier // checks release records, nil = unchecked (tests)
	Sign    func(ctx context.Context, body []byte) (sig string, err error)
	SignNix func(info PathInfo) (sig string, err error) // operator's nix key over Nix's fingerprint
	// SignMesh signs mesh documents with the operator's key, under a namespace.
	SignMesh func(ctx context.Context, namespace string, body []byte) (sig string, err error)
	Agents   AgentDialer // nil: Agent
	// Target says where a host is, with its pinned key.
	Target func(host string) (remote.Target, error)
	Local  LocalLedger
	Events Sink
	CA     *CA // of the mesh, nil without one

	Operator string // name in the spec
	Holder   string // "anna@laptop", for leases
	Version  string // of nixmesh
	// FirstUser logs in to hosts without nixmesh: "root", or a user with
	// passwordless sudo. FirstAny allows first contact with every host that is
	// asked (the lab); otherwise only with those of First.
	FirstUser string
	FirstAny  bool
	First     []string

	Times Times
	Now   func() time.Time

	mu         sync.Mutex // guards what follows
	links      map[string]*link
	prefetched chan inspection // nil = nothing was asked ahead
}

// Times bound what the deployer waits for. Zero fields take the defaults.
type Times struct {
	Renew    time.Duration // between renewals of a lease
	Poll     time.Duration // the longest a `status --wait` waits on the host
	Grace    time.Duration // beyond a host's own deadline, for its revert
	Prove    time.Duration // between attempts of a fresh connection
	LockPoll time.Duration // between attempts of a held lease
	Publish  time.Duration // for agents to act on a mesh configuration
}

func (t Times) withDefaults() Times {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&t.Renew, 10*time.Second)
	def(&t.Poll, 5*time.Second)
	def(&t.Grace, 90*time.Second)
	def(&t.Prove, time.Second)
	def(&t.LockPoll, 2*time.Second)
	def(&t.Publish, 10*time.Second)
	return t
}

// PathSize is one store path and the bytes it takes.
type PathSize struct {
	Path string
	Size int64
}

// PathInfo is what Nix's fingerprint of a path is made of.
type PathInfo struct {
	Path       string
	NarHash    string // as Nix prints it, SRI or base32
	NarSize    int64
	References []string
}

// CopyRequest is one closure on its way to one host.
type CopyRequest struct {
	Host     string
	Toplevel string
	Socket   string // bridge to the host's nix-daemon
	NoCheck  bool   // first contact, as root: no signature is asked for
	// Reason is what the host said on stderr when the bridge failed. May be nil.
	Reason func() string
}

// Store is the Nix store that toplevels are built in.
type Store interface {
	// Shell runs a line of shell where /nix/store is that store.
	Shell(ctx context.Context, line string) ([]byte, error)
	// SignClosure signs a toplevel and its closure with the operator's nix key
	// and gives the toplevel's signatures.
	SignClosure(ctx context.Context, toplevel string) ([]string, error)
	// Copy sends a closure through a bridge; progress is told in bytes.
	Copy(ctx context.Context, r CopyRequest, progress func(done, total int64)) error
}

// link gives the one connection to a host that all operations share.
func (d *Deployer) link(host string) (*link, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.links[host]; l != nil {
		return l, nil
	}
	t, err := d.Target(host)
	if err != nil {
		return nil, err
	}
	if d.links == nil {
		d.links = map[string]*link{}
	}
	d.links[host] = newLink(t, d.Dial)
	return d.links[host], nil
}

// replaceLink makes l the connection to a host, after another user logged in.
func (d *Deployer) replaceLink(host string, l *link) {
	d.mu.Lock()
	old := d.links[host]
	d.links[host] = l
	d.mu.Unlock()
	if old != nil && old != l {
		old.close()
	}
}

// Close ends all connections.
func (d *Deployer) Close() {
	d.mu.Lock()
	links := d.links
	d.links = nil
	d.mu.Unlock()
	for _, l := range links {
		l.close()
	}
}

func (d *Deployer) now() time.Time {
	if d.Now == nil {
		return time.Now()
	}
	return d.Now()
}

// emit tells an event with the time of now.
func (d *Deployer) emit(e Event) {
	if d.Events == nil {
		return
	}
	e.Time = d.now()
	d.Events.Event(e)
}

func (d *Deployer) note(host, format string, args ...any) {
	d.emit(Event{Kind: KindNote, Host: host, Detail: fmt.Sprintf(format, args...)})
}

// host finds a host of the spec.
func (d *Deployer) host(name string) *spec.Host {
	i := slices.IndexFunc(d.Fleet.Hosts, func(h *spec.Host) bool { return h.Name == name })
	if i < 0 {
		return nil
	}
	return d.Fleet.Hosts[i]
}

// HostNames are all hosts of the spec, by name.
func (d *Deployer) HostNames() []string { return hostNames(d.Fleet) }

// newRun makes the id of one attempt: release and a random part.
func newRun(release int) string {
	var b [2]byte
	rand.Read(b[:])
	return fmt.Sprintf("r%d-%s", release, hex.EncodeToString(b[:]))
}

// each runs f for every name, at most width at once, and waits for all.
func each(names []string, width int, f func(name string)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, max(1, width))
	for _, n := range names {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(n)
		})
	}
	wg.Wait()
}
