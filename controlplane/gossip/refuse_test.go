package gossip

import (
	"bytes"
	"errors"
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

func hosts(pairs ...string) map[string]netip.AddrPort {
	m := map[string]netip.AddrPort{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = netip.MustParseAddrPort(pairs[i+1])
	}
	return m
}

// with returns the table with more hosts.
func (f *fleet) with(pairs ...string) map[string]netip.AddrPort {
	all := maps.Clone(f.table)
	maps.Copy(all, hosts(pairs...))
	return all
}

// TestStranger: a host that has the key and that no configuration names, on an
// address of its own, is not heard.
func TestStranger(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(time.Minute, f.whole)
		stranger := f.add("stranger", func(o *Options) { o.Members = f.with("stranger", "10.9.9.9:7946") })
		time.Sleep(time.Minute)
		if n := stranger.Stats().Alive; n != 1 {
			t.Errorf("the stranger sees %d", n)
		}
		for _, name := range f.names() {
			if n := f.nodes[name].Stats(); n.Alive != 3 || n.Refused[ForeignAddress] == 0 {
				t.Errorf("%s: %d alive, refused %v", name, n.Alive, n.Refused)
			}
		}
		// Named, it is let in at once.
		for _, name := range f.names() {
			if err := f.nodes[name].SetMembers(f.with("stranger", "10.9.9.9:7946")); err != nil {
				t.Fatal(err)
			}
		}
		f.eventually(time.Minute, f.whole)
	})
}

// TestOneHostKnowsMore: a configuration reaches one host before the others. The
// new host is a member to those that know it and refused by the rest.
func TestOneHostKnowsMore(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(time.Minute, f.whole)
		more := f.with("fresh", "10.9.9.9:7946")
		if err := f.nodes[hostName(1)].SetMembers(more); err != nil {
			t.Fatal(err)
		}
		fresh := f.add("fresh", func(o *Options) { o.Members = more })
		time.Sleep(time.Minute)
		if m := f.nodes[hostName(1)].member("fresh"); !m.Here() {
			t.Errorf("to the one that knows it is %s", m.State)
		}
		if m := fresh.member(hostName(1)); !m.Here() {
			t.Errorf("the one that knows it is %s to it", m.State)
		}
		for _, name := range f.names()[1:] {
			if s := f.nodes[name].Stats(); s.Alive != 4 || s.Refused[UnknownName] == 0 {
				t.Errorf("%s: %d alive, refused %v", name, s.Alive, s.Refused)
			}
		}
		for _, name := range f.names()[1:] {
			if err := f.nodes[name].SetMembers(more); err != nil {
				t.Fatal(err)
			}
		}
		f.eventually(30*time.Second, f.whole)
	})
}

// TestTwoOfOneName: the address of the configuration decides which one it is.
func TestTwoOfOneName(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(time.Minute, f.whole)
		// The second h003 sits on an address that belongs to another host of the
		// table that is not up, so its packets are not dropped at the door.
		for _, name := range f.names() {
			if err := f.nodes[name].SetMembers(f.with("spare", "10.0.0.77:7946")); err != nil {
				t.Fatal(err)
			}
		}
		real := f.nodes[hostName(3)]
		double := f.add(hostName(3), func(o *Options) { o.Members = f.with(hostName(3), "10.0.0.77:7946") })
		f.nodes["double"], f.nodes[hostName(3)] = double, real
		f.table["double"] = netip.MustParseAddrPort("10.0.0.77:7946")
		time.Sleep(2 * time.Minute)
		for _, name := range f.names() {
			if name == "double" || name == hostName(3) {
				continue
			}
			m := f.nodes[name].member(hostName(3))
			if m.State != Alive || m.Address != hostAddr(3) {
				t.Errorf("to %s the third is %+v", name, m)
			}
			if s := f.nodes[name].Stats(); s.Refused[WrongAddress] == 0 {
				t.Errorf("%s refused %v", name, s.Refused)
			}
			for _, k := range f.nodes[name].seen(hostName(3)) {
				if k == Died {
					t.Errorf("%s lost the third", name)
				}
			}
		}
	})
}

// TestMove: a host gets another address by the configuration.
func TestMove(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(time.Minute, f.whole)
		f.crash(hostName(4))
		f.table[hostName(4)] = netip.MustParseAddrPort("10.0.7.7:7946")
		for _, name := range f.names()[:3] {
			if err := f.nodes[name].SetMembers(f.table); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.nodes[hostName(1)].SetMembers(f.with(hostName(1), "10.0.7.8:7946")); !errors.Is(err, ErrMoved) {
			t.Errorf("a host moved itself: %v", err)
		}
		f.add(hostName(4))
		t.Logf("after %v", f.eventually(reclaimAfter+detection(4)+5*time.Second, f.whole))
	})
}

func TestJudge(t *testing.T) {
	table, err := newTable("a", hosts("a", "10.0.0.1:7946", "b", "10.0.0.2:7946"))
	if err != nil {
		t.Fatal(err)
	}
	d := &delegate{table: table}
	meta, err := testMeta.encode()
	if err != nil {
		t.Fatal(err)
	}
	good := memberlist.Node{Name: "b", Addr: []byte{10, 0, 0, 2}, Port: 7946, Meta: meta, PMin: 1, PMax: 5, PCur: 2}
	for _, c := range []struct {
		what string
		edit func(n *memberlist.Node)
		want Reason
	}{
		{"as it should be", func(*memberlist.Node) {}, ""},
		{"address written as IPv6", func(n *memberlist.Node) { n.Addr = netip.MustParseAddr("::ffff:10.0.0.2").AsSlice() }, WrongAddress},
		{"unknown", func(n *memberlist.Node) { n.Name = "c" }, UnknownName},
		{"no name", func(n *memberlist.Node) { n.Name = "" }, UnknownName},
		{"other address", func(n *memberlist.Node) { n.Addr = []byte{10, 0, 0, 3} }, WrongAddress},
		{"no address", func(n *memberlist.Node) { n.Addr = nil }, WrongAddress},
		{"other port", func(n *memberlist.Node) { n.Port = 1 }, WrongAddress},
		{"this host elsewhere", func(n *memberlist.Node) { n.Name = "a" }, WrongAddress},
		{"protocol from the future", func(n *memberlist.Node) { n.PMin, n.PCur = 6, 6 }, WrongProtocol},
		{"speaks what it cannot", func(n *memberlist.Node) { n.PCur = 9 }, WrongProtocol},
		{"delegate's protocol", func(n *memberlist.Node) { n.DMin, n.DMax, n.DCur = 7, 7, 7 }, WrongProtocol},
		{"no meta", func(n *memberlist.Node) { n.Meta = nil }, BadMeta},
		{"meta of another kind", func(n *memberlist.Node) { n.Meta = bytes.Repeat([]byte{9}, 20) }, BadMeta},
	} {
		n := good
		c.edit(&n)
		if _, got, detail := d.judge(&n); got != c.want {
			t.Errorf("%s: %q (%s), want %q", c.what, got, detail, c.want)
		}
	}
}

func TestTableIsChecked(t *testing.T) {
	for what, pairs := range map[string][]string{
		"this host is missing":     {"b", "10.0.0.2:7946"},
		"two on one address":       {"a", "10.0.0.1:7946", "b", "10.0.0.1:7946"},
		"unspecified address":      {"a", "10.0.0.1:7946", "b", "0.0.0.0:7946"},
		"name with a line in it":   {"a", "10.0.0.1:7946", "b\n", "10.0.0.2:7946"},
		"address with a zone":      {"a", "10.0.0.1:7946", "b", "[fe80::1%eth0]:7946"},
		"the same in two writings": {"a", "10.0.0.1:7946", "b", "[::ffff:10.0.0.1]:7946"},
	} {
		if _, err := newTable("a", hosts(pairs...)); !errors.Is(err, ErrMembers) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
