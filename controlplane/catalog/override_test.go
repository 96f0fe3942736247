package catalog

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nixmesh/nixmesh/mesh"
)

func (f *fleet) seal(o Override) *Override {
	f.t.Helper()
	if o.Stamp.Wall == 0 {
		o.Stamp = HLC{}.After(f.now, "anna")
	}
	sign := operator("anna")
	if o.ByNode {
		sign = f.keys.signer(o.Stamp.Writer)
	}
	sealed, err := Seal(o, sign)
	f.must(err)
	return sealed
}

func (f *fleet) holds(host, subject string) bool {
	_, ok := f.at[host].Override(f.now, subject, Splits(f.config))
	return ok
}

func TestOverrideTravelsAndExpires(t *testing.T) {
	f := newFleet(t, 3, "api")
	o := f.seal(Override{Kind: Fault, Service: "api", ID: "slow", Life: time.Hour, Value: []byte(`{"delay":"1s"}`)})
	f.must(f.at["h0"].SetOverride(f.now, o))
	f.now = f.now.Add(20 * time.Minute)
	f.pull("h1", "h0")
	f.now = f.now.Add(20 * time.Minute)
	f.pull("h2", "h1")
	in, ok := f.at["h2"].Override(f.now, "fault/api/slow", Splits(f.config))
	if !ok || in.Left != 20*time.Minute || string(in.Value) != `{"delay":"1s"}` {
		t.Fatal(in, ok)
	}
	sum := SumOf(f.at["h0"].Overrides(f.now, Splits(f.config)))
	if sum == (Sum{}) || sum != SumOf(f.at["h2"].Overrides(f.now, Splits(f.config))) {
		t.Error("sums differ")
	}
	before := f.at["h2"].Generation()
	f.now = f.now.Add(20 * time.Minute)
	f.at["h2"].Tick(f.now)
	if f.holds("h2", "fault/api/slow") {
		t.Error("it still holds")
	}
	if changes, _ := f.at["h2"].Since(before); len(changes) != 1 || changes[0].Name != "fault/api/slow" {
		t.Error(changes)
	}
	f.now = f.now.Add(MaxOverrideLife)
	for _, name := range f.names {
		f.at[name].Tick(f.now)
		if len(f.at[name].overrides.held) != 0 {
			t.Error(name, "remembers it for ever")
		}
	}
}

func TestReplayedOverrideIsRefused(t *testing.T) {
	f := newFleet(t, 2, "api")
	o := f.seal(Override{Kind: Fault, Service: "api", ID: "slow", Life: time.Hour})
	f.now = f.now.Add(30 * time.Minute)
	// Told as fresh, it would hold for another hour.
	for _, age := range []time.Duration{0, 29 * time.Minute, 31 * time.Minute} {
		r := f.tell("h1", &Delta{Overrides: []Carried{{o, age}}})
		var skew *SkewError
		if r.Refused != 1 || !errors.As(r.Refusals[0].Err, &skew) {
			t.Errorf("age %s: %v", age, r)
		}
	}
	if r := f.tell("h1", &Delta{Overrides: []Carried{{o, 30*time.Minute - 9*time.Second}}}); r.Taken != 1 {
		t.Error(r)
	}
}

func TestSkewIsToldWithBothClocks(t *testing.T) {
	f := newFleet(t, 1, "api")
	o := f.seal(Override{Kind: Drain, Host: "h0"})
	err := f.at["h0"].SetOverride(f.now.Add(-24*time.Hour), o)
	if err == nil || !strings.Contains(err.Error(), "2026-03-01T12:00:00") || !strings.Contains(err.Error(), "2026-02-28T12:00:00") {
		t.Error(err)
	}
	f.must(f.at["h0"].SetOverride(f.now.Add(10*time.Second), o))
	again := f.seal(Override{Kind: Drain, Host: "h0", Cleared: true, Stamp: o.Stamp.After(start, "anna")})
	if err := f.at["h0"].SetOverride(f.now.Add(11*time.Second), again); err == nil {
		t.Error("11 s are accepted")
	}
}

func TestAWrongClockDoesNotProlong(t *testing.T) {
	f := newFleet(t, 2, "api")
	o := f.seal(Override{Kind: Fault, Service: "api", ID: "slow", Life: time.Minute, Stamp: HLC{}.After(f.now.Add(9*time.Second), "anna")})
	f.must(f.at["h0"].SetOverride(f.now, o))
	f.now = f.now.Add(30 * time.Second)
	f.pull("h1", "h0")
	f.now = f.now.Add(30 * time.Second)
	if f.holds("h0", "fault/api/slow") || f.holds("h1", "fault/api/slow") {
		t.Error("it holds for longer than a minute")
	}
}

func TestWhoMayOverride(t *testing.T) {
	f := newFleet(t, 2, "api")
	own := f.seal(Override{Kind: Drain, Host: "h1", ByNode: true, Stamp: HLC{}.After(f.now, "h1")})
	f.must(f.at["h0"].SetOverride(f.now, own))
	for _, o := range []Override{
		{Kind: Drain, Host: "h0", ByNode: true, Stamp: HLC{}.After(f.now, "h1")},
		{Kind: Shift, Service: "api", Life: time.Hour, ByNode: true, Stamp: HLC{}.After(f.now, "h1")},
		{Kind: Fault, Service: "api", ID: "x", Life: 25 * time.Hour, Stamp: HLC{}.After(f.now, "anna")},
		{Kind: Fault, Service: "api", ID: "x", Stamp: HLC{}.After(f.now, "anna")},
		{Kind: Shift, Service: "api", Stamp: HLC{}.After(f.now, "anna")},
		{Kind: Shift, Stamp: HLC{}.After(f.now, "anna"), Life: time.Hour},
	} {
		if _, err := Seal(o, operator("anna")); !errors.Is(err, ErrOverride) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	forged, err := Seal(Override{Kind: Drain, Host: "h0", Stamp: HLC{}.After(f.now, "anna")}, operator("berta"))
	f.must(err)
	if err := f.at["h0"].SetOverride(f.now, forged); !errors.Is(err, ErrWriter) {
		t.Error(err)
	}
	bad, err := Seal(Override{Kind: Drain, Host: "h0", Stamp: HLC{}.After(f.now, "anna")}, f.keys.signer("h1"))
	f.must(err)
	if err := f.at["h0"].SetOverride(f.now, bad); !errors.Is(err, ErrBadSignature) {
		t.Error(err)
	}
	stranger := f.seal(Override{Kind: Drain, Host: "h7"})
	if err := f.at["h0"].SetOverride(f.now, stranger); !errors.Is(err, ErrUnknownSubject) {
		t.Error(err)
	}
}

func TestDrainHoldsUntilUndrained(t *testing.T) {
	f := newFleet(t, 3, "api")
	drain := f.seal(Override{Kind: Drain, Host: "h1", Service: "api"})
	f.must(f.at["h0"].SetOverride(f.now, drain))
	f.pull("h2", "h0")
	f.now = f.now.Add(40 * 24 * time.Hour)
	f.at["h0"].Tick(f.now)
	if !f.holds("h0", "drain/h1/api") {
		t.Fatal("a drain ended by itself")
	}
	clear := f.seal(Override{Kind: Drain, Host: "h1", Service: "api", Cleared: true, Stamp: f.at["h0"].LastWrite("drain/h1/api").After(f.now, "anna")})
	f.must(f.at["h0"].SetOverride(f.now, clear))
	if err := f.at["h0"].SetOverride(f.now, drain); !errors.Is(err, ErrLater) {
		t.Error(err)
	}
	// Months later h2, which slept all the while, does not bring it back.
	f.now = f.now.Add(90 * 24 * time.Hour)
	f.at["h0"].Tick(f.now)
	f.pull("h0", "h2")
	f.pull("h2", "h0")
	if f.holds("h0", "drain/h1/api") || f.holds("h2", "drain/h1/api") {
		t.Error("the drain is back")
	}
}

func TestShiftEndsWithItsSplit(t *testing.T) {
	f := newFleet(t, 1, "api")
	s := f.config.Services["api"]
	s.Split = map[string]mesh.Percent{"v1": 90, "v2": 10}
	f.must(f.at["h0"].SetOverride(f.now, f.seal(Override{Kind: Shift, Service: "api", Base: SplitHash(s)})))
	f.now = f.now.Add(100 * 24 * time.Hour)
	if !f.holds("h0", "shift/api") {
		t.Error("a finished shift ended by itself")
	}
	s.Split = map[string]mesh.Percent{"v2": 100}
	if f.holds("h0", "shift/api") {
		t.Error("it outlives its split")
	}
	f.at["h0"].Configure(configOf(f.names))
	if len(f.at["h0"].overrides.held) != 0 {
		t.Error("it outlives its service")
	}
}

func TestOverridesNeedNoOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFleet(t, 1, "api", "web")
		var all []*Delta
		for range rapid.IntRange(1, 12).Draw(rt, "overrides") {
			stamp := HLC{uint64(start.UnixMilli()) + rapid.Uint64Range(0, 3).Draw(rt, "wall"), rapid.Uint32Range(0, 2).Draw(rt, "logical"), rapid.SampledFrom([]string{"anna", "berta"}).Draw(rt, "writer")}
			o := Override{
				Kind: Drain, Host: "h0", Service: rapid.SampledFrom([]string{"", "api", "web"}).Draw(rt, "service"),
				Cleared: rapid.Bool().Draw(rt, "cleared"), Stamp: stamp, Value: []byte(rapid.SampledFrom([]string{"", "1", "2"}).Draw(rt, "value")),
			}
			sealed, err := Seal(o, operator(stamp.Writer))
			f.must(err)
			all = append(all, &Delta{Overrides: []Carried{{sealed, 0}}})
		}
		var states []string
		for range 2 {
			c := catalogOf("r", f.keys, f.config)
			for _, d := range shuffled(rt, all, false) {
				if r := c.Merge(f.now, d); r.Refused > 0 {
					rt.Fatal(r)
				}
			}
			text := state(c)
			for subject, h := range c.overrides.held {
				_ = subject
				text += string(h.Value)[:len(h.Value)] + " "
			}
			if len(c.overrides.held) > 1 {
				text = state(c) // maps have no order; stamps suffice
			}
			states = append(states, text)
		}
		if states[0] != states[1] {
			rt.Fatalf("%s\n%s", states[0], states[1])
		}
	})
}

func TestHLC(t *testing.T) {
	h := HLC{}.After(start, "a")
	late := h.After(start.Add(-time.Hour), "b")
	if late.Compare(h) <= 0 || late.Wall != h.Wall || late.Logical != 1 {
		t.Error(late)
	}
	if full := (HLC{5, 1<<32 - 1, "a"}).After(time.UnixMilli(1), "a"); full.Wall != 6 || full.Logical != 0 {
		t.Error(full)
	}
	if next := late.After(start.Add(time.Second), "a"); next.Logical != 0 {
		t.Error(next)
	}
}
