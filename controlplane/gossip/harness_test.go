package gossip

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nixmesh/nixmesh/internal/testkit/memnet"
)

// fleet is a number of hosts on a network in memory, in the time of a synctest
// bubble.
type fleet struct {
	t     *testing.T
	net   *memnet.Net
	table map[string]netip.AddrPort
	nodes map[string]*node // those that run
	log   *slog.Logger
}

// node is one host's gossip and what it told.
type node struct {
	*Gossip

	mu     sync.Mutex // guards what follows
	events []Event
	hints  []Hint
}

var (
	testKey  = bytes.Repeat([]byte{1}, KeySize)
	otherKey = bytes.Repeat([]byte{2}, KeySize)
	testMeta = Meta{ProtocolMin: 1, ProtocolMax: 1, DataPort: 7947, Epoch: 1}
)

func hostName(i int) string { return fmt.Sprintf("h%03d", i) }

func hostAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), DefaultPort)
}

func inBubble(t *testing.T, hosts int, run func(t *testing.T, f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{t: t, net: memnet.New(1), table: map[string]netip.AddrPort{}, nodes: map[string]*node{}}
		for i := 1; i <= hosts; i++ {
			f.table[hostName(i)] = hostAddr(i)
		}
		defer f.killAll()
		run(t, f)
	})
}

// add makes a node with the fleet's table and changed options, and starts it.
func (f *fleet) add(name string, change ...func(*Options)) *node {
	f.t.Helper()
	n := &node{}
	o := Options{
		Host: name, Mesh: "shop", Members: f.table, Keys: [][]byte{testKey}, Meta: testMeta, Logger: f.log,
		OnEvent: func(e Event) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.events = append(n.events, e)
		},
		OnHint: func(h Hint) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.hints = append(n.hints, h)
		},
	}
	for _, c := range change {
		c(&o)
	}
	o.Network = f.net.Host(o.Members[name].Addr())
	g, err := New(o)
	if err != nil {
		f.t.Fatal(err)
	}
	n.Gossip = g
	if err := g.Start(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.nodes[name] = n
	return n
}

func (f *fleet) addAll() {
	f.t.Helper()
	for _, name := range f.names() {
		f.add(name)
	}
}

func (f *fleet) names() []string {
	var names []string
	for name := range f.table {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// crash ends a node as a power cut does.
func (f *fleet) crash(name string) {
	f.t.Helper()
	addr := f.table[name].Addr()
	f.net.Cut(addr)
	n := f.nodes[name]
	delete(f.nodes, name)
	n.kill(f.t)
	f.net.Mend(addr)
}

// killAll ends what still runs. After the longest probe, which memberlist cannot
// be told to give up, no goroutine may be left: the bubble fails if one is.
func (f *fleet) killAll() {
	for name := range f.nodes {
		f.crash(name)
	}
	time.Sleep((awarenessMax + 1) * probeInterval)
}

// kill ends a node without a word to the others.
func (n *node) kill(t *testing.T) {
	t.Helper()
	n.Gossip.mu.Lock()
	n.phase = stopped
	n.Gossip.mu.Unlock()
	if err := n.close(); err != nil {
		t.Error(err)
	}
}

// seen returns the events so far of one host, as kinds.
func (n *node) seen(name string) []EventKind {
	n.mu.Lock()
	defer n.mu.Unlock()
	var kinds []EventKind
	for _, e := range n.events {
		if e.Member.Name == name {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

func (n *node) member(name string) Member {
	for _, m := range n.Members() {
		if m.Name == name {
			return m
		}
	}
	return Member{}
}

// whole tells what is missing until every node that runs sees exactly the nodes
// that run.
func (f *fleet) whole() string {
	for name, n := range f.nodes {
		for _, m := range n.Members() {
			if running := f.nodes[m.Name] != nil; m.Here() != running || m.State == Suspect {
				return fmt.Sprintf("%s sees %s %s", name, m.Name, m.State)
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
		what := missing()
		took := time.Since(started)
		if what == "" {
			return took
		}
		if took >= within {
			f.t.Fatalf("after %v: %s", took, what)
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
	}
}
