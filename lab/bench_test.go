package lab

import (
	"testing"
	"time"
)

// BenchmarkFiveHosts boots five hosts with a warm cache and takes them down:
// seconds until sshd of all answers, seconds of down, megabytes a host.
func BenchmarkFiveHosts(b *testing.B) {
	newTestLab(b, "warm").up()
	var up, down time.Duration
	var disk int64
	for b.Loop() {
		l := newTestLab(b, "a", "b", "c", "d", "e")
		begin := time.Now()
		l.up()
		up += time.Since(begin)
		for _, h := range l.hosts {
			disk = max(disk, l.status(h.Name).Disk)
		}
		begin = time.Now()
		if err := l.Down(b.Context()); err != nil {
			b.Fatal(err)
		}
		down += time.Since(begin)
	}
	b.ReportMetric(up.Seconds()/float64(b.N), "s/up")
	b.ReportMetric(down.Seconds()/float64(b.N), "s/down")
	b.ReportMetric(float64(disk)/1e6, "MB/host")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkNix is what the view adds to each start of a program of nix.
func BenchmarkNix(b *testing.B) {
	l := newTestLab(b)
	if err := l.Prepare(b.Context()); err != nil {
		b.Fatal(err)
	}
	run := l.Nix()
	for b.Loop() {
		if err := run(b.Context(), nil, "true").Run(); err != nil {
			b.Fatal(err)
		}
	}
}
