package sync

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/internal/testkit/plainwire"
)

// TestConverge: all hosts of a fleet know all, soon after they started.
func TestConverge(t *testing.T) {
	for _, hosts := range []int{2, 3, 5, 50} {
		t.Run(fmt.Sprint(hosts), func(t *testing.T) {
			inBubble(t, hosts, func(t *testing.T, f *fleet) {
				f.addAll(plain(hosts))
				t.Logf("%d hosts: all know all after %v", hosts, f.eventually(10*time.Second, f.same))
				f.honest()
			})
		})
	}
}

// plain takes TLS away where it would cost most of the test's time.
func plain(hosts int) func(*Options) {
	return func(o *Options) {
		if hosts > 8 {
			o.Wire = plainwire.New(o.Nodes.Own)
		}
	}
}

// TestPushIsAtOnce: a change is everywhere after the time of the way, without
// any wait of the exchange's own. NIXMESH_TEST_HOSTS=1000 tries that many, which
// takes minutes.
func TestPushIsAtOnce(t *testing.T) {
	sizes := []int{2, 5, 32, 40}
	if n, err := strconv.Atoi(os.Getenv("NIXMESH_TEST_HOSTS")); err == nil {
		sizes = []int{n}
	}
	for _, hosts := range sizes {
		t.Run(fmt.Sprint(hosts), func(t *testing.T) {
			inBubble(t, hosts, func(t *testing.T, f *fleet) {
				f.addAll(plain(hosts))
				f.eventually(time.Minute, f.same)
				f.eventually(10*time.Second, f.apart)
				var worst time.Duration
				for i := range 8 {
					from := hostName(i%hosts + 1)
					f.nodes[from].say("web", i+1)
					worst = max(worst, f.eventually(time.Second, f.heard(from, "web", i+1)))
					time.Sleep(50 * time.Millisecond)
				}
				t.Logf("%d hosts: a change is everywhere after %v at most", hosts, worst)
				if limit := 20 * time.Millisecond; worst > limit {
					t.Errorf("took %v, want at most %v with 2 ms one way", worst, limit)
				}
				f.honest()
			})
		})
	}
}

// TestLargeFleetKeepsFewConnections: beyond 32 hosts each keeps 16, and who
// hears a change first passes it on once.
func TestLargeFleetKeepsFewConnections(t *testing.T) {
	const hosts = 36
	inBubble(t, hosts, func(t *testing.T, f *fleet) {
		f.addAll(plain(hosts))
		f.eventually(10*time.Second, f.same)
		f.eventually(10*time.Second, f.apart)
		for name, n := range f.nodes {
			if got := n.Stats().Connected; got != manyPeers {
				t.Errorf("%s keeps %d connections, want %d", name, got, manyPeers)
			}
		}
		before := f.total(func(s Stats) uint64 { return s.Received })
		f.nodes["h001"].say("web", 1)
		time.Sleep(100 * time.Millisecond)
		sent := f.total(func(s Stats) uint64 { return s.Received }) - before
		if limit := uint64(hosts * manyPeers); sent > limit {
			t.Errorf("one change was pushed %d times, at most %d are wanted", sent, limit)
		}
		if missing := f.heard("h001", "web", 1)(); missing != "" {
			t.Error(missing)
		}
		// A third of the fleet goes: those who had them as peers take others.
		for i := 1; i <= hosts/3; i++ {
			f.crash(hostName(i))
		}
		f.eventually(3*time.Minute, func() string {
			for name, n := range f.nodes {
				if got := n.Stats().Connected; got < manyPeers {
					return fmt.Sprintf("%s keeps %d connections", name, got)
				}
			}
			return ""
		})
	})
}

// TestPartition: two halves that changed on their own know all of each other
// soon after they meet again.
func TestPartition(t *testing.T) {
	for _, hosts := range []int{2, 3, 5, 20} {
		t.Run(fmt.Sprint(hosts), func(t *testing.T) {
			inBubble(t, hosts, func(t *testing.T, f *fleet) {
				f.addAll(plain(hosts))
				f.eventually(10*time.Second, f.same)
				var left, right []netip.Addr
				for i, name := range f.names() {
					if at := f.ids[name].addr.Addr(); i < hosts/2 {
						left = append(left, at)
					} else {
						right = append(right, at)
					}
				}
				f.net.Partition(left, right)
				for i, name := range f.names() {
					f.nodes[name].say("web", i%8+1)
					f.nodes[name].say("api", i%8+1)
				}
				time.Sleep(5 * time.Minute)
				f.net.Heal()
				took := f.eventually(time.Minute, f.same)
				t.Logf("%d hosts: whole %v after a partition of 5 minutes", hosts, took)
				if limit := retryMost + dialTimeout; took > limit {
					t.Errorf("took %v, want at most %v", took, limit)
				}
			})
		})
	}
}

// TestNudgeAfterAPartition: with a word from gossip nobody waits for the next
// attempt.
func TestNudgeAfterAPartition(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(10*time.Second, f.same)
		f.net.Partition([]netip.Addr{f.ids["h001"].addr.Addr()}, []netip.Addr{f.ids["h002"].addr.Addr()})
		f.nodes["h001"].say("web", 1)
		time.Sleep(5 * time.Minute)
		f.net.Heal()
		f.nodes["h001"].Nudge("h002")
		took := f.eventually(time.Minute, f.same)
		if took > 2*synRetry {
			t.Errorf("took %v", took)
		}
	})
}

// synRetry is how long an attempt that began in the partition hangs: as long as
// a system waits before it sends the first packet again.
const synRetry = time.Second

// TestLossAndRestarts: hosts come and go on a bad network while everybody
// changes; once it is quiet, all know the same.
func TestLossAndRestarts(t *testing.T) {
	for _, hosts := range []int{2, 3, 5, 20} {
		t.Run(fmt.Sprint(hosts), func(t *testing.T) {
			inBubble(t, hosts, func(t *testing.T, f *fleet) {
				random := rand.New(rand.NewPCG(1, uint64(hosts)))
				f.net.SetLoss(0.2)
				f.net.SetDelay(20 * time.Millisecond)
				f.addAll(plain(hosts))
				for range 60 {
					name := hostName(random.IntN(hosts) + 1)
					switch n := f.nodes[name]; {
					case n == nil:
						f.add(name, plain(hosts))
					case random.IntN(4) == 0:
						f.crash(name)
					case random.IntN(8) == 0:
						f.stop(name)
					default:
						n.say("web", random.IntN(8)+1)
					}
					time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
				}
				f.net.SetLoss(0)
				for _, name := range f.names() {
					if f.nodes[name] == nil {
						f.add(name, plain(hosts))
					}
				}
				t.Logf("%d hosts: the same %v after the last change", hosts, f.eventually(time.Minute, f.same))
				f.honest()
			})
		})
	}
}

// TestRestartIsNoticed: a change reaches a host that was just started again,
// although nobody was told that its old connections are dead.
func TestRestartIsNoticed(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(10*time.Second, f.same)
		f.crash("h002")
		time.Sleep(time.Second)
		f.add("h002")
		f.eventually(time.Second, f.same)
		f.nodes["h001"].say("web", 1)
		if took := f.eventually(time.Second, f.heard("h001", "web", 1)); took > 50*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

// TestLargeState: what does not fit one delta comes in several at once.
func TestLargeState(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		a := f.add("h001")
		var updates []catalog.Update
		for i := range 3000 {
			updates = append(updates, copies(fmt.Sprintf("service-%d", i), 20))
		}
		a.publish(updates...)
		f.add("h002")
		took := f.eventually(time.Second, f.same)
		t.Logf("took %v", took)
		if s := f.nodes["h001"].Stats(); s.SentBytes < 2*deltaBudget {
			t.Errorf("only %d bytes: not more than one delta", s.SentBytes)
		}
	})
}

// TestFarewell: what is pushed right before Stop still arrives.
func TestFarewell(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(10*time.Second, f.same)
		f.eventually(10*time.Second, f.apart)
		f.nodes["h001"].say("web", 7)
		started := time.Now()
		f.stop("h001")
		if took := time.Since(started); took > 100*time.Millisecond {
			t.Errorf("stopping took %v", took)
		}
		if missing := f.heard("h001", "web", 7)(); missing != "" {
			t.Error(missing)
		}
	})
}

// TestOnPeer: connections are told in turn.
func TestOnPeer(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		a := f.add("h001")
		f.add("h002")
		f.eventually(10*time.Second, f.apart)
		f.stop("h002")
		time.Sleep(time.Second)
		f.add("h002")
		f.eventually(10*time.Second, f.apart)
		a.SetHosts(nil)
		synctest.Wait()
		a.mu.Lock()
		defer a.mu.Unlock()
		if want := []string{"h002 true", "h002 false", "h002 true", "h002 false"}; !slices.Equal(a.peers, want) {
			t.Errorf("told %q, want %q", a.peers, want)
		}
	})
}

// TestIdleIsCheap: hosts that know the same say little.
func TestIdleIsCheap(t *testing.T) {
	for hosts, limit := range map[int]uint64{5: 250, 50: 1500} {
		t.Run(fmt.Sprint(hosts), func(t *testing.T) {
			inBubble(t, hosts, func(t *testing.T, f *fleet) {
				f.addAll(plain(hosts))
				f.eventually(10*time.Second, f.same)
				f.eventually(10*time.Second, f.apart)
				time.Sleep(10 * time.Second)
				bytes := func(s Stats) uint64 { return s.SentBytes }
				before := f.total(bytes)
				time.Sleep(time.Minute)
				rate := (f.total(bytes) - before) / 60 / uint64(hosts)
				t.Logf("%d hosts: %d bytes a second and host", hosts, rate)
				if rate > limit {
					t.Errorf("want at most %d", limit)
				}
			})
		})
	}
}
