package catalog

import (
	"testing"
	"time"
)

// relay gives what h0 says from h1, changed by somebody who wants to.
func withoutSeq(d *Delta, seq uint64) *Delta {
	out := &Delta{}
	for _, p := range d.Parts {
		q := Part{Owner: p.Owner, Epoch: p.Epoch, From: p.From}
		for _, rec := range p.Records {
			if rec.Seq != seq || p.Owner != "h0" {
				q.Records = append(q.Records, rec)
			}
		}
		out.Parts = append(out.Parts, q)
	}
	return out
}

func TestWhatARelayLeavesOutIsFound(t *testing.T) {
	f := newFleet(t, 3, "a", "b", "c")
	f.publish("h0", ServiceUpdate("a", one(Healthy)))
	f.publish("h0", ServiceUpdate("b", one(Healthy)))
	f.publish("h0", ServiceUpdate("c", one(Healthy)))
	f.tell("h1", withoutSeq(f.at["h0"].Delta(f.now, &Digest{}, MaxDelta), 3))
	s, _ := f.at["h1"].Status("h0")
	if s.Complete || !s.Rereading {
		t.Fatal("h1 believes that it has everything", s)
	}
	f.pull("h1", "h0")
	if s, _ := f.at["h1"].Status("h0"); !s.Complete || s.Records != 4 {
		t.Fatal(s)
	}
}

func TestARelayMakesNothingVanish(t *testing.T) {
	f := newFleet(t, 2, "a", "b")
	f.publish("h0", ServiceUpdate("a", one(Healthy)), ServiceUpdate("b", one(Healthy)))
	f.pull("h1", "h0")
	f.publish("h0", ServiceUpdate("a", one(Unhealthy)))
	f.publish("h0", ServiceUpdate("b", one(Unhealthy)))
	whole := f.at["h0"].Delta(f.now, &Digest{}, MaxDelta)
	for range 3 {
		f.tell("h1", withoutSeq(whole, 4)) // hides that a is unhealthy
	}
	if f.at["h1"].Record("h0", Key{KindService, "a"}) == nil {
		t.Fatal("a vanished")
	}
	f.pull("h1", "h0")
	if s, _ := f.at["h1"].Status("h0"); !s.Complete {
		t.Fatal(s)
	}
}

func TestClaimsReachNoFurtherThanRecords(t *testing.T) {
	f := newFleet(t, 2, "a")
	d := f.at["h0"].Delta(f.now, &Digest{}, MaxDelta)
	d.Parts[0].From = 1 << 40
	f.tell("h1", d)
	f.publish("h0", ServiceUpdate("a", one(Healthy)))
	f.pull("h1", "h0")
	if s, _ := f.at["h1"].Status("h0"); s.Seq != 2 || !s.Complete {
		t.Fatal(s)
	}
}

func TestAGapIsFilled(t *testing.T) {
	f := newFleet(t, 2, "a", "b")
	f.pull("h1", "h0")
	f.publish("h0", ServiceUpdate("a", one(Healthy)))
	g := f.at["h0"].Generation()
	f.publish("h0", ServiceUpdate("b", one(Healthy)))
	changes, _ := f.at["h0"].Since(g)
	f.tell("h1", f.at["h0"].Push(f.now, changes))
	if f.at["h1"].Record("h0", Key{KindService, "b"}) == nil {
		t.Error("a push acts only after the gap is filled")
	}
	if s, _ := f.at["h1"].Status("h0"); s.Seq != 1 || s.Complete {
		t.Error("h1 overlooks the gap", s)
	}
	f.pull("h1", "h0")
	if s, _ := f.at["h1"].Status("h0"); s.Seq != 3 || !s.Complete {
		t.Error(s)
	}
}

func TestTombstonesEnd(t *testing.T) {
	f := newFleet(t, 3, "a")
	f.publish("h0", ServiceUpdate("a", one(Healthy)))
	f.pullAll()
	f.publish("h0", Gone("a"))
	f.publish("h0", HostUpdate(Host{Agent: "2", Protocols: Protocols{1, 1}}))
	f.pull("h1", "h0")
	f.now = f.now.Add(TombstoneLife + time.Second)
	for _, name := range []string{"h0", "h1"} {
		f.at[name].Tick(f.now)
		if s, _ := f.at[name].Status("h0"); s.Records != 1 || !s.Complete {
			t.Errorf("%s keeps the tombstone: %v", name, s)
		}
	}
	// h2 was away for longer than a tombstone lives.
	f.pull("h2", "h1")
	f.pull("h2", "h1")
	if f.at["h2"].Record("h0", Key{KindService, "a"}) != nil {
		t.Fatal("h2 shows a ghost")
	}
	f.pullAll()
	f.same()
}

func TestTheNewestTombstoneStays(t *testing.T) {
	f := newFleet(t, 2, "a")
	f.publish("h0", ServiceUpdate("a", one(Healthy)))
	f.publish("h0", Gone("a"))
	f.now = f.now.Add(2 * TombstoneLife)
	f.at["h0"].Tick(f.now)
	f.pull("h1", "h0")
	if s, _ := f.at["h1"].Status("h0"); !s.Complete || s.Seq != 3 {
		t.Fatal(s)
	}
}

func TestAnOwnerOfTwoTruthsEnds(t *testing.T) {
	f := newFleet(t, 3, "a", "b")
	twin := catalogOf("h0", f.keys, f.config)
	f.must(twin.Start(f.now, 1, []Update{HostUpdate(plainHost)}, f.keys.signer("h0")))
	f.must(twin.Publish(f.now, []Update{ServiceUpdate("b", one(Healthy))}, f.keys.signer("h0")))
	f.publish("h0", ServiceUpdate("a", one(Healthy)))
	f.tell("h1", twin.Delta(f.now, &Digest{}, MaxDelta))
	f.pull("h2", "h0")
	for range 3 * maxPasses {
		f.pull("h1", "h2")
		f.pull("h2", "h1")
	}
	s, _ := f.at["h1"].Status("h0")
	if !s.Disputed || state(f.at["h1"]) != state(f.at["h2"]) {
		t.Fatalf("%+v\n%s\n%s", s, state(f.at["h1"]), state(f.at["h2"]))
	}
	if d := f.at["h1"].Delta(f.now, f.at["h2"].Digest(f.now), MaxDelta); len(d.Parts) != 0 {
		t.Fatal("they still exchange it")
	}
}
