package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/internal/testkit/memnet"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// identity is a host with its keys.
type identity struct {
	name   string
	addr   netip.AddrPort
	ssh    trust.SSHKey
	pinned string
	key    trust.NodeKey
	cert   trust.NodeCert
}

// rekey gives the host a new node key, whose certificate is newer.
func (h *identity) rekey(t testing.TB) {
	t.Helper()
	h.key = must(trust.GenerateNodeKey())(t)
	before := h.cert
	h.cert = must(trust.NewNodeCert(h.ssh.Signer, h.name, h.key.Public(), &before, time.Now()))(t)
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newIdentity(t testing.TB, name string, addr netip.AddrPort) *identity {
	t.Helper()
	ssh := must(trust.GenerateSSHKey(""))(t)
	key := must(trust.GenerateNodeKey())(t)
	cert := must(trust.NewNodeCert(ssh.Signer, name, key.Public(), nil, time.Now()))(t)
	return &identity{name: name, addr: addr, ssh: ssh, pinned: ssh.Authorized, key: key, cert: cert}
}

// keys are the node keys that one host knows, with their real signatures.
type keys struct {
	own    *identity
	pinned map[string]string

	mu      sync.Mutex // guards what follows
	book    trust.NodeBook
	known   map[string]trust.NodePublic
	checked map[string]trust.NodeCert
}

func (k *keys) Own() trust.NodeCert { return k.own.cert }

func (k *keys) Admit(host string, c trust.NodeCert) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.checked[host] == c { // two signatures to check, for each connection
		return nil
	}
	if err := k.book.Admit(c, host, k.pinned[host]); err != nil {
		return err
	}
	if newest, ok := k.book.Of(host, k.pinned[host]); ok {
		k.known[host], k.checked[host] = newest.Key, newest
	}
	return nil
}

func (k *keys) VerifyNode(host string, message, signature []byte) error {
	k.mu.Lock()
	key, ok := k.known[host]
	k.mu.Unlock()
	if !ok {
		return catalog.ErrNoKey
	}
	return key.Verify(trust.PurposeRecord, message, signature)
}

func (k *keys) VerifyOperator([]byte, []byte) (string, error) { return "", errors.New("no operators") }

func (k *keys) sign(message []byte) ([]byte, error) {
	return k.own.key.Sign(trust.PurposeRecord, message), nil
}

// node is one host's exchange with its catalog.
type node struct {
	*Sync
	*keys
	t testing.TB

	mu      sync.Mutex // guards what follows
	catalog *catalog.Catalog
	refused []catalog.Refusal
	peers   []string // what OnPeer told
	onMerge func(from string)
}

func (n *node) Digest(now time.Time) *catalog.Digest {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.catalog.Digest(now)
}

func (n *node) OpenDigest(b []byte) (*catalog.Digest, error) { return catalog.OpenDigest(b, n.keys) }

func (n *node) SealDigest(d *catalog.Digest) ([]byte, error) { return d.Encode(n.sign) }

func (n *node) Delta(now time.Time, theirs *catalog.Digest, budget int) *catalog.Delta {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.catalog.Delta(now, theirs, budget)
}

func (n *node) Merge(now time.Time, from string, d *catalog.Delta) catalog.Result {
	n.mu.Lock()
	hook := n.onMerge
	n.mu.Unlock()
	if hook != nil {
		hook(from)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	result := n.catalog.Merge(now, d)
	n.refused = append(n.refused, result.Refusals...)
	return result
}

// publish changes what the host says, and pushes it.
func (n *node) publish(updates ...catalog.Update) {
	n.t.Helper()
	n.mu.Lock()
	now := time.Now()
	before := n.catalog.Generation()
	err := n.catalog.Publish(now, updates, n.sign)
	changes, _ := n.catalog.Since(before)
	d := n.catalog.Push(now, changes)
	n.mu.Unlock()
	if err != nil {
		n.t.Fatal(err)
	}
	n.Push(d)
}

// copies is a service with a number of copies, all of them healthy.
func copies(service string, number int) catalog.Update {
	var s catalog.Service
	for i := range number {
		s.Instances = append(s.Instances, catalog.Instance{Copy: i + 1, Health: catalog.Healthy})
	}
	return catalog.ServiceUpdate(service, s)
}

func (n *node) say(service string, number int) {
	n.t.Helper()
	n.publish(copies(service, number))
}

// hears says whether a host is known to have a number of copies of a service.
func (n *node) hears(host, service string, number int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	want := copies(service, number)
	rec := n.catalog.Record(host, want.Key)
	return rec != nil && bytes.Equal(rec.Payload, want.Payload)
}

// fleet is hosts on a network in memory, in the time of a synctest bubble.
type fleet struct {
	t      testing.TB
	net    *memnet.Net
	ids    map[string]*identity
	config *mesh.Config
	nodes  map[string]*node // those that run
	epoch  uint64
	log    *slog.Logger
}

func hostName(i int) string { return fmt.Sprintf("h%03d", i) }

func hostAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), DefaultPort)
}

func newFleet(t testing.TB, hosts int) *fleet {
	f := &fleet{t: t, net: memnet.New(1), ids: map[string]*identity{}, nodes: map[string]*node{}, log: slog.New(slog.DiscardHandler)}
	f.config = &mesh.Config{Hosts: map[string]*mesh.Host{}, Services: map[string]*mesh.Service{}}
	for i := 1; i <= hosts; i++ {
		f.addHost(i)
	}
	return f
}

func (f *fleet) addHost(i int) *identity {
	id := newIdentity(f.t, hostName(i), hostAddr(i))
	f.ids[id.name] = id
	f.config.Hosts[id.name] = &mesh.Host{Address: id.addr.Addr().String(), Zone: "z"}
	return id
}

func inBubble(t *testing.T, hosts int, run func(t *testing.T, f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, hosts)
		defer f.stopAll()
		run(t, f)
	})
}

func (f *fleet) names() []string { return slices.Sorted(maps.Keys(f.ids)) }

func (f *fleet) others(name string) map[string]netip.AddrPort {
	hosts := map[string]netip.AddrPort{}
	for other, id := range f.ids {
		if other != name {
			hosts[other] = id.addr
		}
	}
	return hosts
}

// make makes a node that knows nothing yet but all hosts' keys.
func (f *fleet) make(name string, change ...func(*Options)) *node {
	f.t.Helper()
	id := f.ids[name]
	pinned := map[string]string{}
	k := &keys{own: id, pinned: pinned, known: map[string]trust.NodePublic{}, checked: map[string]trust.NodeCert{}}
	for other, o := range f.ids {
		pinned[other] = o.pinned
		if err := k.Admit(other, o.cert); err != nil {
			f.t.Fatal(err)
		}
	}
	n := &node{keys: k, t: f.t, catalog: catalog.New(name, k)}
	n.catalog.Configure(f.config)
	f.epoch++
	err := n.catalog.Start(time.Now(), f.epoch, []catalog.Update{catalog.HostUpdate(catalog.Host{Agent: "1", Protocols: catalog.Protocols{Min: 1, Max: 1}})}, k.sign)
	if err != nil {
		f.t.Fatal(err)
	}
	o := Options{
		Host: name, Key: id.key, Listen: id.addr, Network: f.net.Host(id.addr.Addr()),
		Catalog: n, Nodes: n, Protocols: catalog.Protocols{Min: 1, Max: 1}, Logger: f.log,
		OnPeer: func(host string, connected bool) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.peers = append(n.peers, fmt.Sprintf("%s %t", host, connected))
		},
	}
	for _, c := range change {
		c(&o)
	}
	n.Sync = must(New(o))(f.t)
	return n
}

// add makes a node and starts it.
func (f *fleet) add(name string, change ...func(*Options)) *node {
	f.t.Helper()
	n := f.make(name, change...)
	n.SetHosts(f.others(name))
	if err := n.Start(context.Background()); err != nil {
		f.t.Fatal(err)
	}
	f.nodes[name] = n
	return n
}

func (f *fleet) addAll(change ...func(*Options)) {
	f.t.Helper()
	for _, name := range f.names() {
		f.add(name, change...)
	}
}

// crash ends a node as a power cut does: the others hear nothing of it.
func (f *fleet) crash(name string) {
	f.t.Helper()
	f.net.Cut(f.ids[name].addr.Addr())
	f.stop(name)
	f.net.Mend(f.ids[name].addr.Addr())
}

func (f *fleet) stop(name string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	n := f.nodes[name]
	delete(f.nodes, name)
	if err := n.Stop(ctx); err != nil {
		f.t.Error(err)
	}
}

func (f *fleet) stopAll() {
	for name := range f.nodes {
		f.stop(name)
	}
}

// same says whose catalog is another one than the first, or not whole.
func (f *fleet) same() string {
	var first string
	var want *catalog.Digest
	for _, name := range slices.Sorted(maps.Keys(f.nodes)) {
		d := f.nodes[name].Digest(time.Now())
		if want == nil {
			first, want = name, d
		}
		if len(d.Owners) != len(f.ids) {
			return fmt.Sprintf("%s knows %d owners: %+v", name, len(d.Owners), f.nodes[name].Peers())
		}
		if d.Root() != want.Root() {
			return fmt.Sprintf("%s and %s differ", first, name)
		}
	}
	return ""
}

// heard says who does not know yet what a host says.
func (f *fleet) heard(host, service string, number int) func() string {
	return func() string {
		for name, n := range f.nodes {
			if !n.hears(host, service, number) {
				return fmt.Sprintf("%s does not know of %d copies of %s on %s", name, number, service, host)
			}
		}
		return ""
	}
}

// honest fails the test where anything was refused: among honest hosts there is
// nothing to refuse.
func (f *fleet) honest() {
	f.t.Helper()
	for name, n := range f.nodes {
		s := n.Stats()
		delete(s.Refused, BadHandshake) // a connection that the network lost
		n.mu.Lock()
		if len(s.Refused) > 0 || s.Panics > 0 || len(n.refused) > 0 {
			f.t.Errorf("%s refused %v, %v; %d panics", name, s.Refused, n.refused, s.Panics)
		}
		n.mu.Unlock()
	}
}

func (f *fleet) total(of func(Stats) uint64) (sum uint64) {
	for _, n := range f.nodes {
		sum += of(n.Stats())
	}
	return sum
}

// apart says who has no connection to whom.
func (f *fleet) apart() string {
	for name, n := range f.nodes {
		for _, p := range n.Peers() {
			if p.Wanted && f.nodes[p.Host] != nil && !p.Connected {
				return fmt.Sprintf("%s is not connected to %s: %s", name, p.Host, p.Failure)
			}
		}
	}
	return ""
}

// eventually waits until missing returns "" and returns how long it took.
func (f *fleet) eventually(within time.Duration, missing func() string) time.Duration {
	f.t.Helper()
	started := time.Now()
	for {
		last := time.Since(started) >= within
		what := missing()
		took := time.Since(started)
		if what == "" {
			return took
		}
		if last {
			f.t.Fatalf("after %v: %s", took, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// kept is the node's connection to a host, on which a test may say anything.
func (n *node) kept(host string) *link {
	n.Sync.mu.Lock()
	defer n.Sync.mu.Unlock()
	return n.Sync.peers[host].link
}

func (n *node) onEachMerge(hook func(from string)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.onMerge = hook
}

// refuses waits until a node has refused something for a reason.
func (f *fleet) refuses(n *node, reason Reason) {
	f.t.Helper()
	f.eventually(time.Minute, func() string {
		if s := n.Stats(); s.Refused[reason] == 0 {
			return fmt.Sprintf("refused %v, want %s", s.Refused, reason)
		}
		return ""
	})
}
