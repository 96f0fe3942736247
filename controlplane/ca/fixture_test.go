package ca

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

const day = 24 * time.Hour

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// skewed is a clock that is off by something, and has no monotonic reading.
type skewed struct {
	mu  sync.Mutex
	off time.Duration
}

func (c *skewed) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Round(0).Add(c.off)
}

func (c *skewed) set(off time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = off
}

// memory is a Store that can be full.
type memory struct {
	mu    sync.Mutex
	files map[string][]byte
	full  bool
}

var errFull = errors.New("no space left on device")

func (m *memory) Names() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.files)), nil
}

func (m *memory) Load(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	content, ok := m.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return content, nil
}

func (m *memory) Save(name string, content []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return errFull
	}
	if m.files == nil {
		m.files = map[string][]byte{}
	}
	m.files[name] = slices.Clone(content)
	return nil
}

func (m *memory) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, name)
	return nil
}

func (m *memory) SetAside(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[name+aside] = m.files[name]
	delete(m.files, name)
	return nil
}

func (m *memory) has(name string) bool {
	_, err := m.Load(name)
	return err == nil
}

func (m *memory) setFull(full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = full
}

// lines is an IssueLog that can be full.
type lines struct {
	mu   sync.Mutex
	all  []Issued
	full bool
}

// issued counts what all authorities issued.
func (r *rig) issued() int {
	n := 0
	for _, l := range r.log {
		l.mu.Lock()
		n += len(l.all)
		l.mu.Unlock()
	}
	return n
}

func (l *lines) Append(line Issued) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full {
		return errFull
	}
	l.all = append(l.all, line)
	return nil
}

// host is one machine of the test's fleet.
type host struct {
	name  string
	key   trust.SSHKey
	node  trust.NodeKey
	cert  trust.NodeCert
	store *memory
	clock *skewed
}

func newHost(t testing.TB, name string) *host {
	t.Helper()
	h := &host{name: name, key: must(trust.GenerateSSHKey(""))(t), store: &memory{}, clock: &skewed{}}
	h.renew(t)
	return h
}

// renew gives the host another node key.
func (h *host) renew(t testing.TB) {
	t.Helper()
	h.node = must(trust.GenerateNodeKey())(t)
	var before *trust.NodeCert
	if h.cert.Host != "" {
		before = &h.cert
	}
	h.cert = must(trust.NewNodeCert(h.key.Signer, h.name, h.node.Public(), before, time.Now()))(t)
}

// rig is a fleet: its root, its hosts, its authorities.
type rig struct {
	t      testing.TB
	root   trust.Root
	fleet  *Fleet
	hosts  map[string]*host
	issuer map[string]*Issuer
	log    map[string]*lines

	mu   sync.Mutex
	down map[string]bool // refuses connections
	deaf map[string]bool // takes them and never answers
	bend func(authority string, answer []byte) []byte
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newRig is a fleet with api and web on app1, api on app2 too, the gateway
// public on edge1, and authorities with intermediates on db1 and db2.
func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, root: must(trust.NewRoot("shop", time.Now()))(t), hosts: map[string]*host{}, issuer: map[string]*Issuer{},
		log: map[string]*lines{}, down: map[string]bool{}, deaf: map[string]bool{}}
	config := &mesh.Config{
		Fleet: "shop", Domain: "mesh", TrustDomain: string(r.root.Domain),
		CA:    mesh.CA{LeafTTL: mesh.Duration(72 * time.Hour), Authorities: mesh.Names{"db1", "db2"}},
		Hosts: map[string]*mesh.Host{},
		Services: map[string]*mesh.Service{
			"api": {Versions: []mesh.Version{{Name: "v1", Hosts: mesh.Names{"app1"}}, {Name: "v2", Hosts: mesh.Names{"app2"}}}},
			"web": {Versions: []mesh.Version{{Hosts: mesh.Names{"app1"}}}},
			"pg":  {Versions: []mesh.Version{{Hosts: mesh.Names{"db1"}}}},
		},
		Gateways: map[string]*mesh.Gateway{"public": {Hosts: mesh.Names{"edge1"}}},
	}
	for _, name := range []string{"app1", "app2", "db1", "db2", "edge1"} {
		r.hosts[name] = newHost(t, name)
		config.Hosts[name] = &mesh.Host{HostKey: r.hosts[name].key.Authorized}
	}
	roots := must(trust.NewBundle(r.root.Domain, r.root.Certificate))(t)
	r.fleet = must(NewFleet(config, roots))(t)
	for _, name := range config.CA.Authorities {
		r.log[name] = &lines{}
		r.start(name)
		r.appoint(name, r.root)
	}
	return r
}

// start starts an authority's issuer, anew where there was one.
func (r *rig) start(name string) *Issuer {
	r.t.Helper()
	h := r.hosts[name]
	i := must(NewIssuer(IssuerOptions{Host: name, Store: h.store, Log: r.log[name], Clock: h.clock, Logger: quiet()}))(r.t)
	i.Configure(r.fleet)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.issuer[name] = i
	return i
}

// appoint gives an authority an intermediate of a root.
func (r *rig) appoint(name string, root trust.Root) {
	r.t.Helper()
	request := must(r.issuer[name].Request())(r.t)
	signed := must(root.SignAuthority(request, name, trust.IntermediateTTL, time.Now()))(r.t)
	if err := r.issuer[name].Install(signed); err != nil {
		r.t.Fatal(err)
	}
}

// change gives all authorities a changed fleet.
func (r *rig) change(edit func(c *mesh.Config), roots trust.Bundle) {
	config := *r.fleet.Config
	config.Services = maps.Clone(config.Services)
	config.Hosts = maps.Clone(config.Hosts)
	edit(&config)
	r.fleet = must(NewFleet(&config, roots))(r.t)
	for _, i := range r.issuer {
		i.Configure(r.fleet)
	}
}

func (r *rig) set(kind map[string]bool, is bool, names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		kind[name] = is
	}
}

func (r *rig) reach(ctx context.Context, authority string) (*Issuer, error) {
	r.mu.Lock()
	down, deaf, i := r.down[authority], r.deaf[authority], r.issuer[authority]
	r.mu.Unlock()
	switch {
	case deaf:
		<-ctx.Done()
		return nil, ctx.Err()
	case down, i == nil:
		return nil, fmt.Errorf("dial %s: connection refused", authority)
	}
	return i, nil
}

// Challenge and Issue make the rig a Transport.
func (r *rig) Challenge(ctx context.Context, authority, host string) ([]byte, error) {
	i, err := r.reach(ctx, authority)
	if err != nil {
		return nil, err
	}
	return i.Challenge(host)
}

func (r *rig) Issue(ctx context.Context, authority string, request SignedRequest) ([]byte, error) {
	i, err := r.reach(ctx, authority)
	if err != nil {
		return nil, err
	}
	answer, err := i.Issue(request).Encode()
	r.mu.Lock()
	bend := r.bend
	r.mu.Unlock()
	if bend != nil {
		answer = bend(authority, answer)
	}
	return answer, err
}

// keeper makes a host's keeper, which knows the fleet.
func (r *rig) keeper(name string) *Keeper {
	r.t.Helper()
	h := r.hosts[name]
	k := must(NewKeeper(KeeperOptions{Host: name, Node: h.node, NodeCert: h.cert, Store: h.store, Transport: r, Clock: h.clock, Logger: quiet()}))(r.t)
	k.Configure(r.fleet)
	return k
}

// run runs a keeper until the function that it gives is called.
func run(t testing.TB, k *Keeper) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// serves says whether a peer with the right clock and the fleet's roots takes
// what the keeper gives its proxy.
func (r *rig) serves(k *Keeper, service string) error {
	leaf, ok := k.Leaf(service)
	if !ok {
		return errors.New("no leaf")
	}
	got, err := r.fleet.Roots.Verify(leaf.Chain, time.Now())
	if err == nil && got != service {
		err = fmt.Errorf("it is of %q", got)
	}
	return err
}

func (s Status) of(service string) IdentityStatus {
	for _, i := range s.Identities {
		if i.Service == service {
			return i
		}
	}
	return IdentityStatus{}
}
