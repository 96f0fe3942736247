package ca

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nixmesh/nixmesh/trust"
)

// Whatever authorities offer, a leaf that serves is given up only for one that
// lasts longer, and only where two or more agree that it is over; and with
// nothing that serves, something that outlasts what is held is always taken.
func TestChooseGivesNothingUp(t *testing.T) {
	r := newRig(t)
	now := time.Now()
	leafAt := func(off time.Duration) trust.Leaf {
		r.hosts["db1"].clock.set(off)
		q, key := r.ask("app1", "db1", "api")
		a := r.issuer["db1"].Issue(r.signed(q, r.hosts["app1"]))
		if a.Refusal != nil {
			t.Fatal(a.Refusal)
		}
		return must(judge(key, "api", "db1", a.Chain, r.fleet.Roots, now))(t).leaf
	}
	var leaves []trust.Leaf // by an authority whose clock is so many hours ahead
	for h := range 8 {
		leaves = append(leaves, leafAt(time.Duration(h)*24*time.Hour))
	}
	rapid.Check(t, func(t *rapid.T) {
		at := now.Add(time.Duration(rapid.IntRange(0, 9*24).Draw(t, "hours")) * time.Hour)
		h := &held{root: rapid.Bool().Draw(t, "known root")}
		if rapid.Bool().Draw(t, "holds one") {
			h.leaf = &leaves[rapid.IntRange(0, len(leaves)-1).Draw(t, "held")]
		}
		var offers []offer
		for range rapid.IntRange(0, 3).Draw(t, "offers") {
			o := offer{leaf: rapid.SampledFrom(leaves).Draw(t, "offer")}
			if _, o.err = r.fleet.Roots.Verify(o.leaf.Chain, at); o.err == nil {
				o.err = trust.ErrUnknownRoot
			}
			offers = append(offers, o)
		}
		got := choose(h, offers, at)
		longest := time.Time{}
		for _, o := range offers {
			if until(o.leaf).After(longest) {
				longest = until(o.leaf)
			}
		}
		outlasts := len(offers) > 0 && (h.leaf == nil || longest.After(until(*h.leaf)))
		switch {
		case got != nil && !outlasts:
			t.Fatal("took what ends sooner")
		case got != nil && !until(got.leaf).Equal(longest):
			t.Fatal("took another than the longest")
		case got == nil && outlasts && !h.serves(at):
			t.Fatal("took nothing, and had nothing")
		case got != nil && h.serves(at) && len(offers) < 2:
			t.Fatal("believed one authority")
		case got != nil && h.serves(at) && !at.Before(got.begins()):
			t.Fatal("gave up a leaf that serves for one of an unknown root")
		}
	})
}

func TestSpareIsTheEarliest(t *testing.T) {
	r := newRig(t)
	now := time.Now()
	h := &held{root: true}
	var offers []offer
	for _, off := range []time.Duration{48 * time.Hour, 24 * time.Hour, 72 * time.Hour} {
		r.hosts["db1"].clock.set(off)
		q, key := r.ask("app1", "db1", "api")
		o := must(judge(key, "api", "db1", r.issuer["db1"].Issue(r.signed(q, r.hosts["app1"])).Chain, r.fleet.Roots, now))(t)
		offers = append(offers, o)
	}
	h.spare = earliest(nil, offers[:1])
	h.spare = earliest(h.spare, offers[1:])
	if h.spare == nil || !h.spare.begins().Equal(offers[1].begins()) {
		t.Fatalf("spare %+v", h.spare)
	}
	for hours, want := range map[int]bool{0: false, 23: false, 24: true, 95: true, 97: false} {
		if got := h.ripe(r.fleet.Roots, now.Add(time.Duration(hours)*time.Hour)); (got != nil) != want {
			t.Errorf("after %d hours: ripe %v", hours, got != nil)
		}
	}
}

func BenchmarkIssue(b *testing.B) {
	r := newRig(b)
	q, _ := r.ask("app1", "db1", "api")
	for b.Loop() {
		b.StopTimer()
		r.issuer["db1"].limiter = limiter{}
		q.Nonce = must(r.issuer["db1"].Challenge("app1"))(b)
		s := r.signed(q, r.hosts["app1"])
		b.StartTimer()
		if a := r.issuer["db1"].Issue(s); a.Refusal != nil {
			b.Fatal(a.Refusal)
		}
	}
}
