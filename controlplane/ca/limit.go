package ca

import (
	"math"
	"time"
)

// Bounds of issuing. An authority signs 50 leaves a second. A host may ask for
// each of its identities twice at once, and then again over ten minutes: enough
// for one that lost its disk, too little to fill the issue log.
const (
	issueRate  = 50  // a second, of all hosts
	issueBurst = 100 // of all hosts
	hostSpare  = 8   // requests of a host beyond twice its identities
	hostRefill = 10 * time.Minute
)

// bucket is a token bucket. Its zero value is full.
type bucket struct {
	taken float64
	at    time.Time
}

// take takes one token, or says how long to wait for one. A clock that goes
// back gives nothing, and takes nothing away.
func (b *bucket) take(now time.Time, rate, burst float64) (wait time.Duration) {
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.taken = math.Max(0, b.taken-passed*rate)
	}
	b.at = now
	if b.taken+1 > burst {
		// Rounded up: a wait of nothing would be a token that is not taken.
		return time.Duration(math.Ceil((b.taken + 1 - burst) / rate * float64(time.Second)))
	}
	b.taken++
	return 0
}

// limiter holds all hosts together, and each for itself.
type limiter struct {
	all   bucket
	hosts map[string]*bucket
}

// take takes one request of a host that has some identities.
func (l *limiter) take(now time.Time, host string, identities int) (wait time.Duration) {
	b := l.hosts[host]
	if b == nil {
		if l.hosts == nil {
			l.hosts = map[string]*bucket{}
		}
		b = &bucket{}
		l.hosts[host] = b
	}
	burst := float64(2*identities + hostSpare)
	if wait := b.take(now, burst/hostRefill.Seconds(), burst); wait > 0 {
		return wait
	}
	return l.all.take(now, issueRate, issueBurst)
}

// keep forgets the hosts that the fleet has no more.
func (l *limiter) keep(has func(host string) bool) {
	for host := range l.hosts {
		if !has(host) {
			delete(l.hosts, host)
		}
	}
}
