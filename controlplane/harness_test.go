package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/gossip"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/internal/testkit/memnet"
	"github.com/nixmesh/nixmesh/internal/testkit/plainwire"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// skewed is a clock that is off by something.
type skewed struct {
	mu  sync.Mutex
	off time.Duration
}

func (c *skewed) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off)
}

func (c *skewed) set(off time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = off
}

// world is a fleet of whole agents: hosts with disks and keys, operators, a CA.
type world struct {
	t         testing.TB
	dir       string
	net       *memnet.Net
	root      trust.Root
	operators map[string]trust.SSHKey
	gossipKey []byte
	config    *mesh.Config
	document  *mesh.Document // the last that apply signed
	hosts     map[string]*machine
	names     []string
	plain     bool          // without TLS between agents
	metrics   bool          // may be scraped
	stopTime  time.Duration // of an agent
	log       *slog.Logger
}

// machine is one host. Its agent comes and goes, its disk stays.
type machine struct {
	w      *world
	name   string
	addr   netip.Addr
	ssh    trust.SSHKey
	node   trust.NodeKey
	cert   trust.NodeCert
	clock  *skewed
	boot   int
	agent  *Agent // nil while it does not run
	change func(*Options)
	hook   func(*Agent) // before its start
	facts  func(f *hostfacts.Facts)

	mu  sync.Mutex      // guards what follows
	ill map[string]bool // services whose checks fail
}

// inWorld runs a test in a synctest bubble with a fleet of hosts h000 … that run
// the service web. No agent is started, and no document applied.
func inWorld(t *testing.T, hosts int, run func(t *testing.T, w *world)) {
	t.Helper()
	dir := quickFolder(t) // outside of the bubble, which ends before the folder is removed
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, hosts)
		defer w.end()
		run(t, w)
	})
}

// inWholeWorld runs a test in a world of plain agents that all know the document
// and each other.
func inWholeWorld(t *testing.T, hosts int, run func(t *testing.T, w *world)) {
	t.Helper()
	inWorld(t, hosts, func(t *testing.T, w *world) {
		w.plain = true
		w.startAll()
		w.seed()
		w.eventually(30*time.Second, w.whole)
		run(t, w)
	})
}

// quickFolder goes away with the test. It is in memory where this machine has a
// place for that: what hosts keep is written for good, and hundreds of simulated
// ones would wait for one disk.
func quickFolder(t testing.TB) string {
	t.Helper()
	const memory, enough = "/dev/shm", 1 << 30
	var s syscall.Statfs_t
	if err := syscall.Statfs(memory, &s); err != nil || s.Bavail*uint64(s.Bsize) < enough {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "nixmesh-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func newWorld(t testing.TB, dir string, hosts int) *world {
	t.Helper()
	w := &world{
		t: t, dir: dir, net: memnet.New(1), root: must(trust.NewRoot("shop", time.Now()))(t),
		operators: map[string]trust.SSHKey{}, gossipKey: bytes.Repeat([]byte{7}, gossip.KeySize), hosts: map[string]*machine{},
		log: slog.New(slog.DiscardHandler), stopTime: stopTime,
	}
	if os.Getenv("NIXMESH_TEST_LOG") != "" {
		w.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	for _, name := range []string{"anna", "bert"} {
		w.operators[name] = must(trust.GenerateSSHKey(name))(t)
	}
	w.config = w.empty()
	for i := range hosts {
		w.add(i)
	}
	w.place("web", w.names...)
	return w
}

func (w *world) empty() *mesh.Config {
	second := mesh.Duration(time.Second)
	return &mesh.Config{
		Schema: mesh.Schema, Fleet: "shop", Domain: "mesh", TrustDomain: string(w.root.Domain), Authorization: mesh.Declared,
		CA:        mesh.CA{LeafTTL: mesh.Duration(72 * time.Hour), IntermediateTTL: mesh.Duration(365 * 24 * time.Hour)},
		Telemetry: mesh.Telemetry{AccessLog: "errors"},
		Defaults: map[string]mesh.Defaults{
			"http": {Timeout: 15 * second, IdleTimeout: 300 * second}, "http2": {Timeout: 15 * second, IdleTimeout: 300 * second},
			"grpc": {IdleTimeout: 300 * second}, "tcp": {IdleTimeout: 3600 * second}, "redis": {IdleTimeout: 3600 * second},
			mesh.Upgraded: {IdleTimeout: 3600 * second},
		},
		Hosts: map[string]*mesh.Host{}, Services: map[string]*mesh.Service{},
	}
}

// add makes a host, which the configuration names.
func (w *world) add(i int) *machine {
	w.t.Helper()
	m := &machine{
		w: w, name: fmt.Sprintf("h%03d", i), addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i + 1)}),
		ssh: must(trust.GenerateSSHKey(""))(w.t), clock: &skewed{}, ill: map[string]bool{},
	}
	m.renew()
	w.hosts[m.name] = m
	w.names = append(w.names, m.name)
	w.config.Hosts[m.name] = &mesh.Host{Address: m.addr.String(), HostKey: hostfacts.SigningKey(m.ssh.Authorized)}
	if err := os.MkdirAll(filepath.Join(w.dir, m.name), 0o700); err != nil {
		w.t.Fatal(err)
	}
	m.writeFacts()
	return m
}

// renew gives a host another node key, as after a loss of its disk.
func (m *machine) renew() {
	m.w.t.Helper()
	m.node = must(trust.GenerateNodeKey())(m.w.t)
	var before *trust.NodeCert
	if m.cert.Host != "" {
		before = &m.cert
	}
	m.cert = must(trust.NewNodeCert(m.ssh.Signer, m.name, m.node.Public(), before, time.Now()))(m.w.t)
}

// place lets the configuration place a service on hosts.
func (w *world) place(service string, hosts ...string) {
	hosts = slices.Sorted(slices.Values(hosts))
	w.config.Services[service] = &mesh.Service{
		Listens: []mesh.Listen{{Protocol: "http"}}, Versions: []mesh.Version{{Hosts: hosts}}, Instances: 1, MTLS: "strict",
	}
	for _, name := range w.names {
		w.hosts[name].writeFacts()
	}
}

func (m *machine) file(name string) string { return filepath.Join(m.w.dir, m.name, name) }

// move gives the host another address, on the wire and in the configuration.
func (m *machine) move(w *world, last byte) {
	m.addr = netip.AddrFrom4([4]byte{10, 0, 0, last})
	w.config.Hosts[m.name].Address = m.addr.String()
}

// writeFacts makes host.json fit the configuration.
func (m *machine) writeFacts() {
	m.w.t.Helper()
	f := hostfacts.Facts{
		Schema: hostfacts.Schema, Fleet: "shop", Host: m.name, System: "x86_64-linux",
		Nixmesh: hostfacts.Nixmesh{Version: "1.0.0", Protocol: 1, Binary: "/nix/store/x/bin/nixmesh"},
		Rollout: hostfacts.Rollout{Confirm: hostfacts.Duration(time.Minute), ActivateTimeout: hostfacts.Duration(time.Minute), LastResort: "hold"},
		Mesh:    &hostfacts.Mesh{Roots: string(must(trust.NewBundle(m.w.root.Domain, m.w.root.Certificate))(m.w.t).PEM()), Metrics: m.w.metrics},
	}
	for name, key := range m.w.operators {
		f.Operators = append(f.Operators, hostfacts.Operator{Name: name, Sign: []string{key.Authorized}})
	}
	for name, s := range m.w.config.Services {
		if !s.RunsOn(m.name) {
			continue
		}
		m.run(name + ".service")
		f.Instances = append(f.Instances, hostfacts.Instance{Service: name, Unit: name + ".service", User: name})
		f.Checks = append(f.Checks, hostfacts.Check{
			Name: name, Service: name, Unit: name + ".service", Kind: hostfacts.CheckTCP, Address: "127.0.0.1:80", User: name,
			Every: hostfacts.Duration(2 * time.Second), Timeout: hostfacts.Duration(time.Second), Rise: 1, Fall: 1,
		})
	}
	if m.facts != nil {
		m.facts(&f)
	}
	content := must(json.Marshal(f))(m.w.t)
	tmp := m.file("host.json.new")
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		m.w.t.Fatal(err)
	}
	if err := os.Rename(tmp, m.file("host.json")); err != nil {
		m.w.t.Fatal(err)
	}
}

// run lets a unit of the host run, since long ago.
func (m *machine) run(unit string) {
	m.w.t.Helper()
	folder := m.file("cgroups/system.slice/" + unit)
	err := os.MkdirAll(folder, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "cgroup.events"), []byte("populated 1\nfrozen 0\n"), 0o600)
	}
	if err == nil {
		long := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
		err = os.Chtimes(folder, long, long)
	}
	if err != nil {
		m.w.t.Fatal(err)
	}
}

func (m *machine) options() Options {
	o := Options{
		HostFile: m.file("host.json"), StateDir: m.file("state"), RevokedFile: m.file("revoked"),
		NodeKey: m.node, NodeCert: m.cert, GossipKeys: [][]byte{m.w.gossipKey}, Version: "1.0.0",
		Clock: m.clock, Logger: m.w.log, Network: roaming{m}, System: m.file("system"), Boot: fmt.Sprint(m.boot),
		Cgroups: m.file("cgroups"), noWatch: true,
		Run: func(_ context.Context, c hostfacts.Check) hostfacts.Result {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.ill[c.Service] {
				return hostfacts.Result{Answer: "connection refused"}
			}
			return hostfacts.Result{OK: true, Answer: "connected"}
		},
	}
	if m.w.plain {
		o.wire = plainwire.New(func() trust.NodeCert { return m.cert })
	}
	if m.change != nil {
		m.change(&o)
	}
	return o
}

// roaming is the network of a host that may get another address.
type roaming struct{ m *machine }

func (r roaming) Listen(at netip.AddrPort) (net.Listener, error) {
	return r.m.w.net.Host(r.m.addr).Listen(at)
}

func (r roaming) ListenPacket(at netip.AddrPort) (net.PacketConn, error) {
	return r.m.w.net.Host(r.m.addr).ListenPacket(at)
}

func (r roaming) Dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	return r.m.w.net.Host(r.m.addr).Dial(ctx, from, to)
}

// start starts the host's agent.
func (m *machine) start() *Agent {
	m.w.t.Helper()
	a, err := New(m.options())
	if err != nil {
		m.w.t.Fatal(err)
	}
	if m.hook != nil {
		m.hook(a)
	}
	if err := a.Start(m.w.t.Context()); err != nil {
		m.w.t.Fatal(err)
	}
	m.agent = a
	return a
}

// stop ends the agent as systemd does.
func (m *machine) stop() {
	m.w.t.Helper()
	a := m.agent
	m.agent = nil
	if a == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.w.stopTime)
	defer cancel()
	if err := a.Stop(ctx); err != nil {
		m.w.t.Errorf("%s: stop: %v", m.name, err)
	}
}

// lose ends the agent as a power cut does, all but its memory: what it writes to
// disk when it ends is undone.
func (m *machine) lose() {
	m.w.t.Helper()
	state := m.file("state")
	if err := os.CopyFS(m.file("saved"), os.DirFS(state)); err != nil {
		m.w.t.Fatal(err)
	}
	m.w.net.Cut(m.addr)
	m.stop()
	m.w.net.Mend(m.addr)
	if err := os.RemoveAll(state); err != nil {
		m.w.t.Fatal(err)
	}
	if err := os.Rename(m.file("saved"), state); err != nil {
		m.w.t.Fatal(err)
	}
}

func (m *machine) sick(service string, is bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ill[service] = is
}

// startAll starts what does not run.
func (w *world) startAll() {
	w.t.Helper()
	for _, name := range w.names {
		if w.hosts[name].agent == nil {
			w.hosts[name].start()
		}
	}
}

// end stops all agents at once, and waits for the longest probe of memberlist,
// which nothing stops.
func (w *world) end() {
	var all sync.WaitGroup
	for _, m := range w.hosts {
		all.Go(m.stop)
	}
	all.Wait()
	time.Sleep(10 * time.Second)
}
