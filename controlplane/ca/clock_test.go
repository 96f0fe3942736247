package ca

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nixmesh/nixmesh/trust"
)

// What a wrong clock does, seen by peers whose clocks are right. In each case
// the service has to be served all the time.
func TestClocksADayOff(t *testing.T) {
	both := []string{"db1", "db2"}
	for name, test := range map[string]struct {
		clocks []string // whose is off
		off    time.Duration
		from   time.Duration // after the start
	}{
		"host a day ahead":              {[]string{"app2"}, day, 20 * time.Hour},
		"host a day behind":             {[]string{"app2"}, -day, 20 * time.Hour},
		"host a day ahead at start":     {[]string{"app2"}, day, 0},
		"host a day behind at start":    {[]string{"app2"}, -day, 0},
		"host decades behind at start":  {[]string{"app2"}, -30 * 365 * day, 0},
		"host years ahead at start":     {[]string{"app2"}, 3 * 365 * day, 0},
		"one authority a day ahead":     {both[:1], day, 20 * time.Hour},
		"one authority a day behind":    {both[:1], -day, 20 * time.Hour},
		"another authority a day ahead": {both[1:], day, 0},
		"one authority a month behind":  {both[:1], -30 * day, 0},
		"authorities a day behind":      {both, -day, 50 * time.Hour},
		"authorities 30 hours behind":   {both, -30 * time.Hour, 50 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				k := r.keeper("app2")
				set := func(off time.Duration) {
					for _, host := range test.clocks {
						r.hosts[host].clock.set(off)
					}
				}
				if test.from == 0 {
					set(test.off)
				}
				defer run(t, k)()
				settle()
				begin := time.Now()
				for time.Since(begin) < 5*day {
					switch since := time.Since(begin); {
					case since >= 4*day:
						set(0)
					case since >= test.from:
						set(test.off)
					}
					time.Sleep(3 * time.Hour)
					if err := r.serves(k, "api"); err != nil {
						t.Fatalf("after %s: %v\n%+v", time.Since(begin), err, k.Status())
					}
				}
				if s := k.Status().of("api"); s.Level != trust.LevelOK || s.Error != "" {
					t.Errorf("after the clocks were set: %+v", s)
				}
				issued := r.issued()
				if issued > 4*24*2*2 {
					t.Errorf("%d leaves were issued", issued)
				}
				t.Logf("%d leaves in five days", issued)
			})
		})
	}
}

// An authority whose clock is a day ahead must not cost a leaf that serves. Its
// leaf is taken when its time has come, before the other one ends.
func TestALeafOfTheFutureIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.keeper("app2")
		defer run(t, k)()
		settle()
		r.set(r.down, true, "db2")
		r.hosts["db1"].clock.set(day)
		before, _ := k.Leaf("api")
		time.Sleep(50 * time.Hour)
		if after, _ := k.Leaf("api"); !after.Chain[0].Equal(before.Chain[0]) {
			t.Error("the leaf that serves was given away")
		}
		s := k.Status()
		if s.of("api").Level != trust.LevelWarn || s.of("api").Error == "" {
			t.Errorf("status %+v", s.of("api"))
		}
		for _, a := range s.Authorities {
			if a.Host == "db1" && (a.Skew < day-time.Minute || a.Skew > day+time.Minute) {
				t.Errorf("its clock is %s ahead", a.Skew)
			}
		}
		time.Sleep(11 * time.Hour)
		if after, _ := k.Leaf("api"); after.Chain[0].Equal(before.Chain[0]) || r.serves(k, "api") != nil {
			t.Errorf("its time has come and it is not taken: %v", r.serves(k, "api"))
		}
		r.hosts["db1"].clock.set(0)
		time.Sleep(40 * time.Hour)
		if err := r.serves(k, "api"); err != nil || k.Status().of("api").Error != "" {
			t.Errorf("when its clock is right: %v, %+v", err, k.Status().of("api"))
		}
	})
}

// Two authorities that are ahead, and not by the same, are not believed.
func TestWrongClocksDoNotAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.keeper("app1")
		defer run(t, k)()
		settle()
		r.hosts["db1"].clock.set(day)
		r.hosts["db2"].clock.set(30 * time.Hour)
		for range 5 * 24 {
			time.Sleep(time.Hour)
			if err := r.serves(k, "api"); err != nil {
				t.Fatalf("%v\n%+v", err, k.Status())
			}
		}
	})
}
