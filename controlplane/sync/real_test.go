package sync

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/internal/testkit/leaks"
)

// realFleet is hosts with addresses of their own on real sockets.
func realFleet(t testing.TB, hosts int) *fleet {
	f := newFleet(t, hosts)
	for i := 1; i <= hosts; i++ {
		at := netip.AddrFrom4([4]byte{127, 94, byte(i >> 8), byte(i)})
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
		if err != nil {
			t.Fatal(err)
		}
		f.ids[hostName(i)].addr = addrPort(l.Addr())
		l.Close()
	}
	f.addAll(func(o *Options) { o.Network = machine{} })
	f.eventually(2*time.Minute, f.same)
	f.eventually(2*time.Minute, f.apart)
	return f
}

// TestRealSockets: the same on the machine's own sockets and clock, and nothing
// is left of it.
func TestRealSockets(t *testing.T) {
	defer leaks.Before(t)()
	f := realFleet(t, 3)
	defer f.stopAll()
	f.nodes["h001"].say("web", 1)
	t.Logf("a change is everywhere after %v", f.eventually(2*time.Minute, f.heard("h001", "web", 1)))
	f.stop("h002")
	f.nodes["h001"].say("web", 2)
	f.add("h002", func(o *Options) { o.Network = machine{} })
	f.eventually(2*time.Minute, f.same)
	f.honest()
}

// BenchmarkChange is how long a change takes until all of five hosts have it, on
// loopback.
func BenchmarkChange(b *testing.B) {
	f := realFleet(b, 5)
	defer f.stopAll()
	type news struct {
		at   time.Time
		host string
	}
	arrived := make(chan news, 64)
	for name, n := range f.nodes {
		if name != "h001" {
			n.onEachMerge(func(string) { arrived <- news{time.Now(), name} })
		}
	}
	var took []time.Duration
	i := 0
	for b.Loop() {
		time.Sleep(2 * time.Millisecond) // a change, not a flood
		for len(arrived) > 0 {
			<-arrived
		}
		i++
		started := time.Now()
		f.nodes["h001"].say("web", i%60+1)
		heard := map[string]bool{}
		for len(heard) < 4 {
			heard[(<-arrived).host] = true
		}
		took = append(took, time.Since(started))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkIdle is what a host costs that has nothing to tell.
func BenchmarkIdle(b *testing.B) {
	for _, hosts := range []int{5, 32} {
		b.Run(fmt.Sprint(hosts), func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			f := realFleet(b, hosts)
			defer f.stopAll()
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&after)
				sent := f.total(func(s Stats) uint64 { return s.SentBytes })
				cpu := cpuTime(b)
				time.Sleep(5 * time.Second)
				b.ReportMetric(float64(f.total(func(s Stats) uint64 { return s.SentBytes })-sent)/5/float64(hosts), "B/s/host")
				b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/5/float64(hosts), "cpu-µs/s/host")
			}
			used := after.HeapInuse + after.StackInuse - before.HeapInuse - before.StackInuse
			b.ReportMetric(float64(used)/float64(hosts)/1024, "KiB/host")
		})
	}
}

// cpuTime is what this process has used of processors.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
