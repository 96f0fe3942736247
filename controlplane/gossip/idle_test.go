package gossip

import (
	"fmt"
	"testing"
	"time"
)

// TestIdleTraffic holds what a fleet sends in which nothing happens, with one
// host of the table that is down for good. Exchanges of lists are rare, so this
// counts over minutes; BenchmarkIdle has the processor's time.
func TestIdleTraffic(t *testing.T) {
	for _, c := range []struct {
		hosts           int
		packets, stream float64 // bytes a second and host, at most
	}{{5, 200, 60}, {100, 200, 400}} {
		t.Run(fmt.Sprint(c.hosts), func(t *testing.T) {
			if c.hosts > 50 && testing.Short() {
				t.Skip("long")
			}
			inBubble(t, c.hosts+1, func(t *testing.T, f *fleet) {
				for _, name := range f.names()[:c.hosts] {
					f.add(name)
				}
				f.eventually(time.Minute, f.whole)
				time.Sleep(4 * time.Minute)
				before := f.net.Traffic()
				const counted = 4 * time.Minute
				time.Sleep(counted)
				after := f.net.Traffic()
				each := counted.Seconds() * float64(c.hosts)
				packets := float64(after.PacketBytes-before.PacketBytes) / each
				stream := float64(after.StreamBytes-before.StreamBytes) / each
				t.Logf("%d hosts: %.1f packets, %.0f bytes in packets, %.0f bytes in streams a second and host", c.hosts,
					float64(after.Packets-before.Packets)/each, packets, stream)
				if packets > c.packets || stream > c.stream {
					t.Error("too much")
				}
			})
		})
	}
}
