package gossip

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// detection is how long a crashed host may take to be dead to everybody. A member
// probes another one in each round of at most twice the others: in a large fleet the
// first probe of the host is a matter of chance, one a second, and in a million
// crashes one takes longer than 14 s. A probe takes a second; two confirmations take
// about as much; then the suspicion time runs. Two seconds are for spreading the news.
func detection(hosts int) time.Duration {
	suspicion := suspicionMult * math.Max(1, math.Log10(float64(hosts))) * probeInterval.Seconds()
	return time.Duration((suspicion + math.Min(float64(2*hosts-3), 14) + 1 + 2) * float64(time.Second))
}

func TestCrash(t *testing.T) {
	for _, hosts := range []int{2, 3, 5, 50, 200} {
		t.Run(fmt.Sprint(hosts), func(t *testing.T) {
			if hosts > 50 && testing.Short() {
				t.Skip("long")
			}
			inBubble(t, hosts, func(t *testing.T, f *fleet) {
				f.addAll()
				f.eventually(time.Minute, f.whole)
				time.Sleep(30 * time.Second)
				last := hostName(hosts)
				f.crash(last)
				f.net.Cut(f.table[last].Addr())
				first := f.eventually(detection(hosts), func() string {
					for _, n := range f.nodes {
						if n.member(last).State == Dead {
							return ""
						}
					}
					return "nobody knows"
				})
				rest := f.eventually(time.Minute, f.whole)
				t.Logf("%d hosts: dead to the first after %v, to all after %v", hosts, first, first+rest)

				suspected := 0
				for _, n := range f.nodes {
					kinds := n.seen(last)
					if i := slices.Index(kinds, Suspected); i >= 0 {
						suspected++
						if died := slices.Index(kinds, Died); died < i {
							t.Errorf("events %v", kinds)
						}
					}
				}
				// This also holds memberlist to the text of the line that log.go reads.
				if suspected == 0 {
					t.Error("nobody told a suspicion")
				}
			})
		})
	}
}

// TestLoss runs a fleet on a bad network. Rarely a member misses that a
// suspect refuted; then it alone holds it for dead, and for seconds only. With one
// packet in ten lost that was not seen in an hour.
func TestLoss(t *testing.T) {
	for _, c := range []struct {
		share  float64
		deaths int
	}{{0.1, 2}, {0.2, 10}} {
		t.Run(fmt.Sprint(c.share), func(t *testing.T) {
			inBubble(t, 20, func(t *testing.T, f *fleet) {
				f.net.SetDelay(10 * time.Millisecond)
				f.net.SetLoss(c.share)
				f.addAll()
				f.eventually(time.Minute, f.whole)
				time.Sleep(10 * time.Minute)
				suspected, died := 0, 0
				var longest time.Duration
				for _, n := range f.nodes {
					n.mu.Lock()
					dead := map[string]time.Time{}
					for _, e := range n.events {
						switch e.Kind {
						case Suspected:
							suspected++
						case Died:
							died++
							dead[e.Member.Name] = e.At
						case Joined:
							if at, ok := dead[e.Member.Name]; ok {
								longest = max(longest, e.At.Sub(at))
							}
						}
					}
					n.mu.Unlock()
				}
				t.Logf("%d suspicions and %d deaths in 10 minutes, among 380 pairs; the longest death %v", suspected, died, longest)
				if died > c.deaths || longest > 15*time.Second {
					t.Error("too many, or too long")
				}
				f.eventually(time.Minute, f.whole)
			})
		})
	}
}

// TestCrashUnderLoss: what is dead is found dead on a bad network, too.
func TestCrashUnderLoss(t *testing.T) {
	inBubble(t, 20, func(t *testing.T, f *fleet) {
		f.net.SetLoss(0.1)
		f.addAll()
		f.eventually(time.Minute, f.whole)
		f.crash(hostName(20))
		t.Logf("after %v", f.eventually(2*detection(20), func() string {
			for name, n := range f.nodes {
				if s := n.member(hostName(20)).State; s != Dead {
					return fmt.Sprintf("to %s it is %s", name, s)
				}
			}
			return ""
		}))
	})
}

// TestRestart: a host that crashes and is back before anybody noticed, and one
// that is back after it was declared dead.
func TestRestart(t *testing.T) {
	for _, away := range []time.Duration{0, 2 * time.Second, 30 * time.Second, 10 * time.Minute} {
		t.Run(away.String(), func(t *testing.T) {
			inBubble(t, 5, func(t *testing.T, f *fleet) {
				f.addAll()
				f.eventually(time.Minute, f.whole)
				for epoch := uint64(2); epoch < 5; epoch++ {
					f.crash(hostName(3))
					time.Sleep(away)
					f.add(hostName(3), func(o *Options) { o.Meta.Epoch = epoch })
					took := f.eventually(5*time.Second, func() string {
						for name, n := range f.nodes {
							if m := n.member(hostName(3)); name != hostName(3) && (m.State != Alive || m.Meta.Epoch != epoch) {
								return fmt.Sprintf("to %s it is %s of epoch %d", name, m.State, m.Meta.Epoch)
							}
						}
						return f.whole()
					})
					t.Logf("epoch %d is known after %v", epoch, took)
					time.Sleep(20 * time.Second)
					if missing := f.whole(); missing != "" {
						t.Errorf("later: %s", missing)
					}
				}
			})
		})
	}
}
