package gossip

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// TestAnyHistory puts a fleet through crashes, restarts, leaves, partitions and
// loss in random order; whenever the network is well again, all see all within
// seconds and nobody else.
func TestAnyHistory(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, 7, func(t *testing.T, f *fleet) {
				r := rand.New(rand.NewPCG(seed, 0))
				names := f.names()
				pick := func() string { return names[r.IntN(len(names))] }
				f.addAll()
				epoch := uint64(2)
				for range 12 {
					for range 1 + r.IntN(5) {
						name := pick()
						running := f.nodes[name] != nil
						var step string
						switch what := r.IntN(6); {
						case what == 0 && running:
							step = "crash " + name
							f.crash(name)
						case what == 1 && running:
							step = "leave " + name
							if err := f.nodes[name].Stop(t.Context()); err != nil {
								step += fmt.Sprintf(" (%v)", err)
							}
							delete(f.nodes, name)
						case what <= 2 && !running:
							step = "start " + name
							f.add(name, func(o *Options) { o.Meta.Epoch = epoch })
							epoch++
						case what == 3:
							step = "partition"
							var a, b []netip.Addr
							for _, n := range names {
								if r.IntN(2) == 0 {
									a = append(a, f.table[n].Addr())
								} else {
									b = append(b, f.table[n].Addr())
								}
							}
							f.net.Partition(a, b)
						case what == 4:
							step = "loss"
							f.net.SetLoss(r.Float64() * 0.3)
						default:
							step = "heal"
							f.net.Heal()
						}
						wait := time.Duration(r.ExpFloat64() * float64(20*time.Second))
						t.Logf("%s, then %v", step, wait)
						time.Sleep(wait)
					}
					f.net.Heal()
					f.net.SetLoss(0)
					t.Logf("whole after %v", f.eventually(detection(7)*suspicionMaxMult/2, f.whole))
				}
			})
		})
	}
}
