package gossip

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// halves splits the fleet's addresses after the first n.
func (f *fleet) halves(n int) (a, b []netip.Addr) {
	for i, name := range f.names() {
		if i < n {
			a = append(a, f.table[name].Addr())
		} else {
			b = append(b, f.table[name].Addr())
		}
	}
	return a, b
}

// TestPartition: however long it lasted, all see all within seconds after it,
// and nobody else.
func TestPartition(t *testing.T) {
	for _, c := range []struct {
		hosts, left int
		lasts       time.Duration
	}{
		{2, 1, 10 * time.Second},
		{2, 1, 10 * time.Minute},
		{3, 1, 10 * time.Minute},
		{5, 2, 10 * time.Second},
		{5, 2, 10 * time.Minute},
		{40, 20, 20 * time.Second},
		{40, 20, 5 * time.Minute},
		{40, 1, 10 * time.Minute},
		{100, 30, 5 * time.Minute},
	} {
		t.Run(fmt.Sprintf("%d-%d/%v", c.left, c.hosts-c.left, c.lasts), func(t *testing.T) {
			if c.hosts > 50 && testing.Short() {
				t.Skip("long")
			}
			inBubble(t, c.hosts, func(t *testing.T, f *fleet) {
				f.addAll()
				f.eventually(time.Minute, f.whole)
				f.net.Partition(f.halves(c.left))
				time.Sleep(c.lasts)
				f.net.Heal()
				took := f.eventually(time.Minute, f.whole)
				t.Logf("whole again after %v", took)
				time.Sleep(2 * time.Minute)
				f.eventually(0, f.whole)
			})
		})
	}
}

// TestRemovedInPartition: a host that the configuration lost while it was cut
// off is no ghost afterwards.
func TestRemovedInPartition(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(time.Minute, f.whole)
		f.net.Partition(f.halves(4))
		time.Sleep(5 * time.Minute)
		without := map[string]netip.AddrPort{}
		for name, at := range f.table {
			if name != hostName(5) {
				without[name] = at
			}
		}
		for _, name := range f.names()[:4] {
			if err := f.nodes[name].SetMembers(without); err != nil {
				t.Fatal(err)
			}
		}
		f.net.Heal()
		for range 60 {
			time.Sleep(time.Second)
			for _, name := range f.names()[:4] {
				if m := f.nodes[name].member(hostName(5)); m.Name != "" {
					t.Fatalf("%s lists %+v", name, m)
				}
			}
		}
		if n := f.nodes[hostName(1)].Stats().Refused[ForeignAddress]; n == 0 {
			t.Error("nothing of it was refused")
		}
		// It takes whom it asked to be let in for alive, until its probes say otherwise.
		f.eventually(2*time.Minute, func() string {
			for _, m := range f.nodes[hostName(5)].Members() {
				if m.Here() {
					return fmt.Sprintf("the removed host still sees %+v", m)
				}
			}
			return ""
		})
	})
}
