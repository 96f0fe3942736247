package gossip

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/internal/testkit/leaks"
)

// testPatience is after how long a test gives up what a machine with other work may
// take its time for.
const testPatience = 2 * time.Minute

// TestRealSockets runs three peers over the machine's UDP and TCP: they find
// each other, a hint arrives, one leaves, and nothing is left of any.
func TestRealSockets(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) {
			addr := netip.MustParseAddr(ip)
			if l, err := net.Listen("tcp", netip.AddrPortFrom(addr, 0).String()); err != nil {
				t.Logf("nothing to see: this machine has no %s: %v", ip, err)
				return
			} else {
				l.Close()
			}
			defer leaks.Before(t)()
			ctx, cancel := context.WithTimeout(t.Context(), testPatience)
			defer cancel()

			heard := make(chan Hint, 10)
			var all []*Gossip
			table := map[string]netip.AddrPort{}
			for _, name := range []string{"a", "b", "c"} {
				g, err := New(Options{
					Host: name, Mesh: "shop", Meta: testMeta, Keys: [][]byte{testKey},
					Members: map[string]netip.AddrPort{name: netip.AddrPortFrom(addr, 0)},
					OnHint:  func(h Hint) { heard <- h },
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := g.Start(ctx); err != nil {
					t.Fatal(err)
				}
				if err := g.Start(ctx); !errors.Is(err, ErrState) {
					t.Errorf("a second start: %v", err)
				}
				all = append(all, g)
				table[name] = g.Address()
			}
			for _, g := range all {
				if err := g.SetMembers(table); err != nil {
					t.Fatal(err)
				}
			}
			wait := func(what string, ok func() bool) {
				t.Helper()
				for !ok() {
					if ctx.Err() != nil {
						t.Fatalf("never: %s; %+v", what, all[0].Stats())
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
			wait("all see all", func() bool {
				return all[0].Stats().Alive == 3 && all[1].Stats().Alive == 3 && all[2].Stats().Alive == 3
			})
			if err := all[0].Broadcast("k", []byte("hello")); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				select {
				case h := <-heard:
					if h.From != "a" || !bytes.Equal(h.Data, []byte("hello")) {
						t.Errorf("hint %+v", h)
					}
				case <-ctx.Done():
					t.Fatal("the hint never came")
				}
			}
			wait("a round trip is measured", func() bool { return all[0].Members()[0].RTT > 0 })
			// Where this machine is slow nobody hears the good-bye, and it is missed.
			stop := func(g *Gossip) {
				if err := g.Stop(ctx); err != nil && !errors.Is(err, ErrLeave) {
					t.Error(err)
				}
			}
			stop(all[2])
			gone := func(g *Gossip) bool {
				state := (&node{Gossip: g}).member("c").State
				return state == Left || state == Dead
			}
			wait("c left", func() bool { return gone(all[0]) && gone(all[1]) })
			stop(all[0])
			stop(all[1])
		})
	}
}

// TestStrangerAtTheDoor: what comes from outside the table, or is no gossip, is
// dropped, and connections are bounded.
func TestStrangerAtTheDoor(t *testing.T) {
	defer leaks.Before(t)()
	g, err := New(Options{
		Host: "a", Mesh: "shop", Meta: testMeta, Keys: [][]byte{testKey},
		Members: hosts("a", "127.0.0.1:0"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	dial := func(network, from string) net.Conn {
		t.Helper()
		var d net.Dialer
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from))
		} else {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))
		}
		c, err := d.DialContext(t.Context(), network, g.Address().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	reaches := func(reason Reason, n uint64) {
		t.Helper()
		for end := time.Now().Add(testPatience); g.Stats().Refused[reason] < n; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %v", reason, g.Stats().Refused)
			}
		}
	}

	udp := dial("udp", "127.0.0.1:0")
	udp.Write([]byte("hello"))
	udp.Close()
	reaches(ForeignAddress, 1)
	if _, err := dial("tcp", "127.0.0.2:0").Read(make([]byte, 1)); err == nil {
		t.Error("a stranger's connection was kept")
	}
	reaches(ForeignAddress, 2)

	// From an address of the table, but garbage, and many.
	c := dial("tcp", "127.0.0.1:0")
	c.Write(bytes.Repeat([]byte{0xff}, 1000))
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if n, _ := c.Read(make([]byte, 100)); n > 0 {
		t.Log("garbage is answered with an error, encrypted")
	}
	c.Close()
	var open []net.Conn
	for range maxStreams + 5 {
		open = append(open, dial("tcp", "127.0.0.1:0"))
	}
	reaches(TooManyStreams, 5)
	for _, c := range open {
		c.Close()
	}
	started := time.Now()
	if err := g.Stop(t.Context()); err != nil && !errors.Is(err, ErrLeave) {
		t.Error(err)
	}
	if took := time.Since(started); took > time.Minute {
		t.Errorf("Stop without peers took %v", took)
	}
	if err := g.SetMeta(t.Context(), testMeta); !errors.Is(err, ErrState) {
		t.Errorf("set meta after stop: %v", err)
	}
}

// TestStopMidway: Stop does not wait for connections that hang or for peers that
// are silent, and a handler may look at the gossip while it stops.
func TestStopMidway(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, f *fleet) {
		var self *node
		var mu sync.Mutex
		self = f.add(hostName(1), func(o *Options) {
			o.OnEvent = func(Event) {
				mu.Lock()
				defer mu.Unlock()
				if self != nil {
					self.Stats()
					self.Members()
				}
			}
		})
		for _, name := range f.names()[1:] {
			f.add(name)
		}
		f.eventually(time.Minute, f.whole)
		f.net.Cut(hostAddr(1).Addr())
		time.Sleep(1500 * time.Millisecond) // in the middle of a probe
		started := time.Now()
		if err := self.Stop(t.Context()); err != nil && !errors.Is(err, ErrLeave) {
			t.Error(err)
		}
		if took := time.Since(started); took > leaveTimeout {
			t.Errorf("Stop took %v", took)
		}
		delete(f.nodes, hostName(1))
	})
}

func TestStopWithoutTime(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(time.Minute, f.whole)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.nodes[hostName(1)].Stop(ctx); !errors.Is(err, ErrLeave) {
			t.Errorf("stop: %v", err)
		}
		delete(f.nodes, hostName(1))
		f.eventually(detection(2), f.whole)
		if m := f.nodes[hostName(2)].member(hostName(1)); m.State != Dead {
			t.Errorf("it is %s", m.State)
		}
	})
}

// TestPortTaken: a start that fails leaves nothing behind.
func TestPortTaken(t *testing.T) {
	defer leaks.Before(t)()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g, err := New(Options{
		Host: "a", Mesh: "shop", Meta: testMeta, Keys: [][]byte{testKey},
		Members: hosts("a", l.Addr().String()), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(t.Context()); err == nil {
		t.Error("it started on a port that is taken")
	}
	if err := g.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
