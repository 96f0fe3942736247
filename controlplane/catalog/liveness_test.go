package catalog

import (
	"fmt"
	"testing"
	"time"
)

func (f *fleet) kill(at string, names ...string) {
	for _, name := range names {
		f.at[at].SetLiveness(f.now, name, Dead)
	}
}

func (f *fleet) standing(at, host string) Standing {
	s, _ := f.at[at].Status(host)
	return s.Standing
}

func TestMinorityGuard(t *testing.T) {
	for _, test := range []struct {
		fleet, die int
		frozen     bool
	}{{2, 1, false}, {3, 2, false}, {4, 2, false}, {4, 3, true}, {5, 2, false}, {5, 3, true}, {50, 25, false}, {50, 26, true}, {50, 49, true}} {
		t.Run(fmt.Sprintf("%d of %d", test.die, test.fleet), func(t *testing.T) {
			f := newFleet(t, test.fleet)
			for i := range test.die { // one after another, as membership tells
				f.now = f.now.Add(10 * time.Millisecond)
				f.kill("h0", f.names[i+1])
			}
			died := f.now
			want := Down
			if test.frozen {
				want = Frozen
			}
			for i := range test.die {
				if got := f.standing("h0", f.names[i+1]); got != want {
					t.Fatalf("%s is %s, want %s", f.names[i+1], got, want)
				}
			}
			f.now = died.Add(guardLife - time.Second)
			f.at["h0"].Tick(f.now)
			if got := f.standing("h0", "h1"); got != want {
				t.Errorf("after 9 min 59 s: %s, want %s", got, want)
			}
			f.now = died.Add(guardLife + time.Second)
			f.at["h0"].Tick(f.now)
			want = Removed
			if test.frozen {
				want = Down
			}
			if got := f.standing("h0", "h1"); got != want {
				t.Errorf("after 10 min: %s, want %s", got, want)
			}
			f.now = died.Add(2*guardLife + time.Minute)
			f.at["h0"].Tick(f.now)
			if got := f.standing("h0", "h1"); got != Removed {
				t.Errorf("after 21 min: %s", got)
			}
			f.at["h0"].SetLiveness(f.now, "h1", Alive)
			if got := f.standing("h0", "h1"); got != Up {
				t.Errorf("after it came back: %s", got)
			}
		})
	}
}

func TestGuardKeepsNobodyWhoWasLongDead(t *testing.T) {
	f := newFleet(t, 10)
	f.kill("h0", "h1")
	f.now = f.now.Add(3 * time.Minute)
	f.kill("h0", f.names[2:]...)
	if a, b := f.standing("h0", "h1"), f.standing("h0", "h2"); a != Down || b != Frozen {
		t.Error(a, b)
	}
	for _, name := range f.names[2:] {
		f.at["h0"].SetLiveness(f.now, name, Alive)
	}
	if a, b := f.standing("h0", "h1"), f.standing("h0", "h2"); a != Down || b != Up {
		t.Error("after healing", a, b)
	}
}

func TestSuspectsGetAGrace(t *testing.T) {
	f := newFleet(t, 3)
	f.at["h0"].SetLiveness(f.now, "h1", Suspect)
	if got := f.standing("h0", "h1"); got != Up {
		t.Error(got)
	}
	f.at["h0"].Tick(f.now.Add(suspectGrace))
	if got := f.standing("h0", "h1"); got != Doubtful {
		t.Error(got)
	}
}

func TestANewAgentTrustsItsSnapshotForAWhile(t *testing.T) {
	f := newFleet(t, 3)
	c := catalogOf("h0", f.keys, f.config)
	c.Tick(f.now)
	s, _ := c.Status("h1")
	c.Tick(f.now.Add(startGrace))
	later, _ := c.Status("h1")
	if s.Standing != Frozen || later.Standing != Down {
		t.Error(s.Standing, later.Standing)
	}
	if own, _ := c.Status("h0"); own.Standing != Up {
		t.Error(own.Standing)
	}
}
