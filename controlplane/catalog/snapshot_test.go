package catalog

import (
	"errors"
	"testing"
	"time"
)

func TestSnapshot(t *testing.T) {
	f := newFleet(t, 3, "web", "api")
	f.publish("h1", ServiceUpdate("web", one(Healthy)), ServiceUpdate("api", one(Unhealthy)))
	f.publish("h1", Gone("api"))
	f.must(f.at["h0"].SetOverride(f.now, f.seal(Override{Kind: Drain, Host: "h2"})))
	f.must(f.at["h0"].SetOverride(f.now, f.seal(Override{Kind: Fault, Service: "web", ID: "x", Life: time.Hour})))
	f.pullAll()
	// h2 starts anew, and only half of that is here.
	f.must(f.at["h2"].Start(f.now, 2, []Update{HostUpdate(plainHost), ServiceUpdate("web", one(Healthy))}, f.keys.signer("h2")))
	d := f.at["h2"].Delta(f.now, f.at["h0"].Digest(f.now), MaxDelta)
	d.Parts[0].Records = d.Parts[0].Records[1:]
	f.tell("h0", d)
	saved := f.at["h0"].Snapshot(f.now)

	c := catalogOf("h0", f.keys, f.config)
	f.now = f.now.Add(40 * time.Minute)
	f.must(c.Restore(f.now, saved))
	if got, want := state(c), state(f.at["h0"]); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if in, ok := c.Override(f.now, "fault/web/x", Splits(f.config)); !ok || in.Left != 20*time.Minute {
		t.Error(in.Left, ok)
	}
	s, _ := c.Status("h1")
	if !s.Complete {
		t.Error(s)
	}
	f.must(c.Start(f.now, 2, []Update{HostUpdate(plainHost)}, f.keys.signer("h0")))
	f.at["h0"] = c
	f.pullAll()
	f.same()

	for i := range saved {
		damaged := append([]byte(nil), saved...)
		damaged[i] ^= 0x40
		if err := catalogOf("h0", f.keys, f.config).Restore(f.now, damaged); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d: %v", i, err)
		}
		if err := catalogOf("h0", f.keys, f.config).Restore(f.now, saved[:i]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("%d bytes: %v", i, err)
		}
	}
}
