package ca

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Over any time, a bucket gives at most its burst and its rate, and after the
// wait that it names it gives again.
func TestBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.01, 100).Draw(t, "rate")
		burst := float64(rapid.IntRange(1, 200).Draw(t, "burst"))
		var b bucket
		begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		now, given := begin, 0.0
		for range rapid.IntRange(1, 400).Draw(t, "takes") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			wait := b.take(now, rate, burst)
			if wait == 0 {
				given++
			} else if again := b; again.take(now.Add(wait+time.Microsecond), rate, burst) != 0 {
				t.Fatalf("nothing after %s", wait)
			}
			if most := burst + now.Sub(begin).Seconds()*rate; given > most+1e-6 {
				t.Fatalf("%v given, at most %v", given, most)
			}
		}
		if wait := b.take(now.Add(-day), rate, burst); wait < 0 || wait > time.Duration(burst/rate*float64(time.Second))+1 {
			t.Fatalf("clock went back: wait %s", wait)
		}
	})
}

// A wait of less than a nanosecond is a wait.
func TestBucketThatLacksNearlyNothing(t *testing.T) {
	b := bucket{taken: 1e-12, at: time.Unix(0, 0)}
	if wait := b.take(time.Unix(0, 0), 1, 1); wait != 1 {
		t.Errorf("wait %s", wait)
	}
}

func TestAllHostsTogetherAreLimited(t *testing.T) {
	var l limiter
	now := time.Now()
	n := 0
	for i := range 100 {
		for l.take(now, string(rune('a'+i)), 10) == 0 {
			n++
		}
	}
	if n != issueBurst {
		t.Errorf("%d at once", n)
	}
	l.keep(func(host string) bool { return host == "a" })
	if len(l.hosts) != 1 {
		t.Errorf("%d hosts remembered", len(l.hosts))
	}
}

func TestNonces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, err := newNonces()
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		nonce, err := n.make("app1", now)
		if err != nil {
			t.Fatal(err)
		}
		age := time.Duration(rapid.Int64Range(-int64(nonceLife), 2*int64(nonceLife)).Draw(t, "age"))
		if err := n.check(nonce, "app1", now.Add(age)); (err == nil) != (age >= 0 && age <= nonceLife) {
			t.Fatalf("at the age of %s: %v", age, err)
		}
		bent := append([]byte(nil), nonce...)
		bent[rapid.IntRange(0, len(bent)-1).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		if n.check(bent, "app1", now) == nil || n.check(nonce, "app2", now) == nil || n.check(nonce[1:], "app1", now) == nil {
			t.Fatal("a bent or foreign nonce passes")
		}
		if n.use(nonce, now) != nil || !errors.Is(n.use(nonce, now), errNonceUsed) {
			t.Fatal("used other than once")
		}
	})
}

func TestUsedNoncesAreBounded(t *testing.T) {
	n := must(newNonces())(t)
	now := time.Now()
	for range maxUsed {
		if err := n.use(must(n.make("app1", now))(t), now); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.use(must(n.make("app1", now))(t), now); !errors.Is(err, errNonceFull) {
		t.Errorf("one more: %v", err)
	}
	later := now.Add(nonceLife + time.Second)
	if err := n.use(must(n.make("app1", later))(t), later); err != nil || len(n.used) != 1 {
		t.Errorf("later: %v, %d remembered", err, len(n.used))
	}
}
