package gossip

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// have counts the hints that a node got, by what they say.
func (n *node) have() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := map[string]int{}
	for _, h := range n.hints {
		all[h.From+" "+h.Key+" "+string(h.Data)]++
	}
	return all
}

// TestHintsSpread: within a second or two every host has every hint, once. In a
// fleet of some size one host in some hundred may miss one: each is sent to
// eight or twelve hosts by each, at random.
func TestHintsSpread(t *testing.T) {
	for _, c := range []struct {
		hosts  int
		loss   float64
		within time.Duration
		share  float64 // of all that must arrive
	}{
		{2, 0, time.Second, 1},
		{5, 0, time.Second, 1},
		{50, 0, 2 * time.Second, 0.99},
		{50, 0.1, 2 * time.Second, 0.98},
		{100, 0, 2 * time.Second, 0.99},
	} {
		t.Run(fmt.Sprintf("%d/%v", c.hosts, c.loss), func(t *testing.T) {
			if c.hosts > 50 && testing.Short() {
				t.Skip("long")
			}
			inBubble(t, c.hosts, func(t *testing.T, f *fleet) {
				f.addAll()
				f.eventually(time.Minute, f.whole)
				time.Sleep(10 * time.Second)
				f.net.SetLoss(c.loss)
				senders := f.names()[:min(10, c.hosts)]
				for _, name := range senders {
					if err := f.nodes[name].Broadcast("record", []byte("changed")); err != nil {
						t.Fatal(err)
					}
				}
				all := len(senders) * (c.hosts - 1)
				arrived := func() int {
					n := 0
					for _, node := range f.nodes {
						n += len(node.have())
					}
					return n
				}
				took := f.eventually(c.within, func() string {
					if n := arrived(); float64(n) < c.share*float64(all) {
						return fmt.Sprintf("%d of %d arrived", n, all)
					}
					return ""
				})
				time.Sleep(10 * time.Second)
				t.Logf("%d hints at %d hosts after %v; in the end %d of %d", len(senders), c.hosts, took, arrived(), all)
				for name, n := range f.nodes {
					for what, times := range n.have() {
						if times != 1 {
							t.Errorf("%s has %q %d times", name, what, times)
						}
					}
					if n.Queued() != 0 {
						t.Errorf("%s still sends %d", name, n.Queued())
					}
				}
			})
		})
	}
}

// TestSameHintAgain: what is broadcast twice arrives twice.
func TestSameHintAgain(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(time.Minute, f.whole)
		for range 2 {
			if err := f.nodes[hostName(1)].Broadcast("k", []byte("again")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		if got := f.nodes[hostName(2)].have()[hostName(1)+" k again"]; got != 2 {
			t.Errorf("it came %d times", got)
		}
	})
}

// TestNewerHintReplaces: of a burst about one thing only the last is carried.
func TestNewerHintReplaces(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(time.Minute, f.whole)
		for i := range 100 {
			if err := f.nodes[hostName(1)].Broadcast("k", fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
		if q := f.nodes[hostName(1)].Queued(); q != 1 {
			t.Errorf("%d wait", q)
		}
		time.Sleep(2 * time.Second)
		if diff := cmp.Diff(map[string]int{hostName(1) + " k 99": 1}, f.nodes[hostName(2)].have()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestHintFlood: a host that floods is cut to its share, and others are heard.
func TestHintFlood(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(time.Minute, f.whole)
		loud := f.nodes[hostName(1)]
		refused := 0
		for i := range 2000 {
			if errors.Is(loud.Broadcast(fmt.Sprint(i), bytes.Repeat([]byte{1}, MaxHint)), ErrBusy) {
				refused++
			}
		}
		if refused != 2000-maxQueued {
			t.Errorf("%d refused", refused)
		}
		time.Sleep(5 * time.Second)
		if err := f.nodes[hostName(2)].Broadcast("k", []byte("me too")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		for _, name := range f.names()[2:] {
			n := f.nodes[name]
			if n.have()[hostName(2)+" k me too"] != 1 {
				t.Errorf("%s did not hear the second host", name)
			}
			if s := n.Stats(); s.HintsReceived > hintBurst+35*hintRate+1 {
				t.Errorf("%s took %d hints", name, s.HintsReceived)
			}
		}
	})
}

// TestSlowTaker: who does not take hints misses some, and holds up nobody.
func TestSlowTaker(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, f *fleet) {
		release := make(chan struct{})
		slow := f.add(hostName(1), func(o *Options) {
			o.OnHint = func(Hint) { <-release }
			o.OnEvent = func(Event) { <-release }
		})
		f.add(hostName(2))
		f.add(hostName(3))
		f.eventually(time.Minute, f.whole)
		for i := range 600 {
			time.Sleep(60 * time.Millisecond)
			if err := f.nodes[hostName(2)].Broadcast(fmt.Sprint(i), nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		f.eventually(0, f.whole)
		s := slow.Stats()
		if s.HintsMissed == 0 || s.HintsMissed+maxWaiting+1 != s.HintsReceived {
			t.Errorf("%+v", s)
		}
		if got := len(f.nodes[hostName(3)].have()); got < 590 {
			t.Errorf("the third host has %d", got)
		}
		close(release)
		synctest.Wait()
	})
}

func TestHintBounds(t *testing.T) {
	g, err := New(Options{Host: "a", Mesh: "shop", Members: hosts("a", "10.0.0.1:7946"), Keys: [][]byte{testKey}, Meta: testMeta})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		g.Broadcast("k", make([]byte, MaxHint+1)),
		g.Broadcast(strings.Repeat("k", MaxHintKey+1), nil),
	} {
		if !errors.Is(err, errHint) {
			t.Errorf("%v", err)
		}
	}
	if err := g.Broadcast(strings.Repeat("k", MaxHintKey), make([]byte, MaxHint)); err != nil {
		t.Error(err)
	}
}

func TestFrameRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := frame{id: rapid.Uint64().Draw(t, "id"), hint: Hint{
			From: rapid.StringN(1, 15, maxName).Draw(t, "from"),
			Key:  rapid.StringN(0, 15, MaxHintKey).Draw(t, "key"),
			Data: rapid.SliceOfN(rapid.Byte(), 0, MaxHint).Draw(t, "data"),
		}}
		b, err := f.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeFrame(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(f, got, cmp.AllowUnexported(frame{})); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzFrame(f *testing.F) {
	good, err := frame{id: 7, hint: Hint{From: "app1", Key: "app2", Data: []byte("data")}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:12])
	f.Add([]byte{})
	f.Add([]byte{hintFormat, 0, 0, 0, 0, 0, 0, 0, 0, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeFrame(b)
		if err != nil {
			if !errors.Is(err, errHint) {
				t.Errorf("error %v", err)
			}
			return
		}
		again, err := got.encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x became %x (%v)", b, again, err)
		}
	})
}

// TestSeenIsBounded: neither many hints nor many senders make the memory of what
// was heard grow.
func TestSeenIsBounded(t *testing.T) {
	table, err := newTable("a", hosts("a", "10.0.0.1:7946"))
	if err != nil {
		t.Fatal(err)
	}
	h := newHints(table, nil, func() int { return 1 })
	for range 10 * maxSeen {
		h.admit("b", rand.Uint64())
	}
	if len(h.seen) > maxSeen {
		t.Errorf("%d are remembered", len(h.seen))
	}
}
