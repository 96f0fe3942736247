package gossip

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestJoin(t *testing.T) {
	for _, hosts := range []int{2, 3, 5, 50, 200} {
		t.Run(fmt.Sprint(hosts), func(t *testing.T) {
			if hosts > 50 && testing.Short() {
				t.Skip("long")
			}
			inBubble(t, hosts, func(t *testing.T, f *fleet) {
				f.addAll()
				took := f.eventually(time.Minute, f.whole)
				t.Logf("%d hosts see each other after %v", hosts, took)
				first := f.nodes[hostName(1)]
				if got := first.seen(hostName(2)); !slices.Contains(got, Joined) {
					t.Errorf("events of the second host: %v", got)
				}
				if m := first.member(hostName(2)); m.Meta != testMeta || m.Address != hostAddr(2) {
					t.Errorf("the second host is %+v", m)
				}
			})
		})
	}
}

func TestLateComer(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, f *fleet) {
		for _, name := range f.names()[:4] {
			f.add(name)
		}
		time.Sleep(10 * time.Minute) // everybody has knocked at it for long
		f.add(hostName(5))
		t.Logf("after %v", f.eventually(time.Minute, f.whole))
	})
}

func TestLeave(t *testing.T) {
	for _, hosts := range []int{2, 5, 50} {
		t.Run(fmt.Sprint(hosts), func(t *testing.T) {
			inBubble(t, hosts, func(t *testing.T, f *fleet) {
				f.addAll()
				f.eventually(time.Minute, f.whole)
				last := f.nodes[hostName(hosts)]
				delete(f.nodes, hostName(hosts))
				started := time.Now()
				if err := last.Stop(t.Context()); err != nil {
					t.Fatal(err)
				}
				t.Logf("Stop took %v", time.Since(started))
				// Whom the good-bye misses, one in some thousands, learns it by a probe.
				f.eventually(time.Minute, f.whole)
				// Each of the others has to hear two messages for that.
				left := 0
				for _, n := range f.nodes {
					if n.member(hostName(hosts)).State == Left {
						left++
					}
				}
				if left < len(f.nodes)*9/10 || (hosts <= 5 && left < len(f.nodes)) {
					t.Errorf("it left for %d of %d", left, len(f.nodes))
				}
				// And back, in the middle of what the others still send about it.
				back := f.add(hostName(hosts), func(o *Options) { o.Meta.Epoch = 2 })
				f.eventually(time.Minute, f.whole)
				if m := f.nodes[hostName(1)].member(hostName(hosts)); m.Meta.Epoch != 2 {
					t.Errorf("it came back as %+v", m)
				}
				if err := back.Stop(t.Context()); err != nil {
					t.Error(err)
				}
				if err := back.Stop(t.Context()); err != nil {
					t.Errorf("a second stop: %v", err)
				}
				delete(f.nodes, hostName(hosts))
			})
		})
	}
}

func TestMetaChanges(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(time.Minute, f.whole)
		meta := testMeta
		meta.Version = "0.2.0"
		if err := f.nodes[hostName(1)].SetMeta(t.Context(), meta); err != nil {
			t.Fatal(err)
		}
		f.eventually(2*time.Second, func() string {
			if f.nodes[hostName(2)].member(hostName(1)).Meta != meta {
				return "the second does not know"
			}
			return ""
		})
		if got := f.nodes[hostName(2)].seen(hostName(1)); !slices.Equal(got, []EventKind{Joined, Updated}) {
			t.Errorf("events %v", got)
		}
	})
}
