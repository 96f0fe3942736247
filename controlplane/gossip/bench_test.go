package gossip

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/internal/testkit/memnet"
)

// benchFleet starts hosts on a network in memory, in real time, and waits until
// all see all.
func benchFleet(b *testing.B, hosts int, onHint func(Hint)) ([]*Gossip, *memnet.Net) {
	b.Helper()
	net := memnet.New(1)
	net.SetDelay(200 * time.Microsecond)
	table := map[string]netip.AddrPort{}
	for i := 1; i <= hosts; i++ {
		table[hostName(i)] = hostAddr(i)
	}
	var all []*Gossip
	for i := 1; i <= hosts; i++ {
		g, err := New(Options{
			Host: hostName(i), Mesh: "shop", Members: table, Keys: [][]byte{testKey}, Meta: testMeta,
			Network: net.Host(hostAddr(i).Addr()), OnHint: onHint,
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := g.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			g.mu.Lock()
			g.phase = stopped
			g.mu.Unlock()
			g.close()
		})
		all = append(all, g)
	}
	for _, g := range all {
		for until := time.Now().Add(time.Minute); g.Stats().Alive < hosts; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(until) {
				b.Fatalf("%d hosts never saw each other", hosts)
			}
		}
	}
	return all, net
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIdle is what a fleet costs in which nothing happens: packets, bytes
// of packets and of connections, and time of the processor, for each host and
// second. One operation is ten seconds.
func BenchmarkIdle(b *testing.B) {
	for _, hosts := range []int{5, 100} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			_, net := benchFleet(b, hosts, nil)
			time.Sleep(askWhile + 2*time.Second)
			before, used := net.Traffic(), cpu(b)
			var seconds float64
			for b.Loop() {
				time.Sleep(10 * time.Second)
				seconds += 10
			}
			after, used := net.Traffic(), cpu(b)-used
			each := seconds * float64(hosts)
			b.ReportMetric(float64(after.Packets-before.Packets)/each, "packets/s")
			b.ReportMetric(float64(after.PacketBytes-before.PacketBytes)/each, "packet-B/s")
			b.ReportMetric(float64(after.StreamBytes-before.StreamBytes)/each, "stream-B/s")
			b.ReportMetric(float64(used.Microseconds())/each, "cpu-µs/s")
		})
	}
}

// BenchmarkHint is the time until the last host has a hint. One that has not
// reached all after three seconds counts as missed.
func BenchmarkHint(b *testing.B) {
	for _, hosts := range []int{5, 100} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			var arrived atomic.Int64
			all, _ := benchFleet(b, hosts, func(Hint) { arrived.Add(1) })
			time.Sleep(15 * time.Second) // the news of joining goes before hints
			missed := 0
			for i := 0; b.Loop(); i++ {
				arrived.Store(0)
				until := time.Now().Add(3 * time.Second)
				if err := all[i%hosts].Broadcast("k", make([]byte, 120)); err != nil {
					b.Fatal(err)
				}
				for arrived.Load() < int64(hosts-1) && time.Now().Before(until) {
					time.Sleep(time.Millisecond)
				}
				if arrived.Load() < int64(hosts-1) {
					missed++
				}
			}
			b.ReportMetric(float64(missed), "missed")
		})
	}
}
