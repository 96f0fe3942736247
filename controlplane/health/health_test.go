package health

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nixmesh/nixmesh/hostfacts"
)

func TestRiseAndFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.unit("web.service", true)
		h.answer("web", true, "GET / 200")
		h.Configure([]hostfacts.Instance{web}, []hostfacts.Check{webCheck()})
		h.is("web.service", Starting, "")
		h.start()
		defer h.stop()
		// Within a second the first, and the second soon after.
		within(t, "proving itself", h.after("web.service", Healthy), 400*time.Millisecond, 1500*time.Millisecond)
		h.is("web.service", Healthy, "")

		h.answer("web", false, "GET / 503: down")
		within(t, "three failures", h.after("web.service", Unhealthy), 10*time.Second, 15*time.Second)
		h.is("web.service", Unhealthy, "GET / 503: down")

		h.answer("web", true, "GET / 200")
		within(t, "two passes", h.after("web.service", Healthy), 5*time.Second, 10*time.Second)
	})
}

// A failure now and then is none.
func TestSingleFailuresDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.unit("web.service", true)
		h.answer("web", true, "")
		c := webCheck()
		c.Every = hostfacts.Duration(time.Second)
		h.Configure([]hostfacts.Instance{web}, []hostfacts.Check{c})
		h.start()
		defer h.stop()
		h.after("web.service", Healthy)
		for range 20 {
			h.answer("web", false, "no")
			time.Sleep(2 * time.Second)
			h.answer("web", true, "")
			time.Sleep(2 * time.Second)
			h.is("web.service", Healthy, "")
		}
	})
}

// What fails from its start is starting for the time that its failures take,
// and unhealthy then.
func TestNeverHealthy(t *testing.T) {
	for _, after := range []time.Duration{0, time.Minute} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				h.unit("web.service", true)
				h.answer("web", false, "connection refused")
				c := webCheck()
				c.After = hostfacts.Duration(after)
				h.Configure([]hostfacts.Instance{web}, []hostfacts.Check{c})
				h.start()
				defer h.stop()
				within(t, "giving up", h.after("web.service", Unhealthy), after+10*time.Second, after+12*time.Second)
				h.is("web.service", Unhealthy, "connection refused")
				// One pass is no reason to call it starting again.
				h.answer("web", true, "")
				time.Sleep(5 * time.Second)
				h.is("web.service", Unhealthy, "connection refused")
				h.after("web.service", Healthy)
			})
		})
	}
}

// A failure within `after` of the start takes nothing away, one after it does.
func TestAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.unit("web.service", true)
		h.answer("web", true, "")
		c := webCheck()
		c.Every, c.After, c.Fall = hostfacts.Duration(time.Second), hostfacts.Duration(30*time.Second), 1
		h.Configure([]hostfacts.Instance{web}, []hostfacts.Check{c})
		h.start()
		defer h.stop()
		proven := h.after("web.service", Healthy)
		h.answer("web", false, "compacting")
		within(t, "failing", proven+h.after("web.service", Unhealthy), 30*time.Second, 31*time.Second)
	})
}

func TestUnitThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.unit("web.service", true)
		h.answer("web", true, "")
		h.Configure([]hostfacts.Instance{web}, []hostfacts.Check{webCheck()})
		h.start()
		defer h.stop()
		h.after("web.service", Healthy)

		h.unit("web.service", false)
		within(t, "seeing that it stopped", h.after("web.service", Unhealthy), 0, time.Second)
		h.is("web.service", Unhealthy, "web.service is not running")
		ran := h.count(func() int { return len(h.began["web"]) })
		time.Sleep(time.Minute)
		if now := h.count(func() int { return len(h.began["web"]) }); now != ran {
			t.Errorf("%d checks of a unit that does not run", now-ran)
		}

		// A new process has to prove itself.
		h.unit("web.service", true)
		within(t, "seeing that it runs", h.after("web.service", Starting), 0, time.Second)
		within(t, "proving itself", h.after("web.service", Healthy), 400*time.Millisecond, 1500*time.Millisecond)

		h.noUnit("web.service")
		within(t, "seeing that it is gone", h.after("web.service", Unhealthy), 0, time.Second)
		// Another folder is another process, too.
		h.unit("web.service", true)
		h.after("web.service", Healthy)
		h.noUnit("web.service")
		h.unit("web.service", true)
		within(t, "seeing another process", h.after("web.service", Starting), 0, time.Second)
		h.after("web.service", Healthy)
		// So is another invocation, in the same folder.
		h.invocation("web.service", "a9d8ee8f")
		within(t, "seeing another invocation", h.after("web.service", Starting), 0, time.Second)
		h.after("web.service", Healthy)
	})
}

// What lies below a service is not systemd's.
func TestFoldersOfUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.cgroups += "/below"
		h.unit("api.service", true)
		api := hostfacts.Instance{Service: "api", Unit: "api.service"}
		for slices, want := range map[string]State{"user@1000.service": Unhealthy, "system.slice/system-x.slice": Healthy} {
			root := t.TempDir()
			if err := os.MkdirAll(filepath.Join(root, slices), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(h.cgroups+"/system.slice/api.service", filepath.Join(root, slices, "api.service")); err != nil {
				t.Fatal(err)
			}
			o := h.options()
			o.Cgroups = root
			one := New(o)
			one.Configure([]hostfacts.Instance{api}, nil)
			if got := one.Instances()[0].State; got != want {
				t.Errorf("in %s: %s, want %s", slices, got, want)
			}
			h.unit("api.service", true)
		}
	})
}

func TestUnitsWithoutChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.unit("web.service", true)
		h.invocation("migrate.service", "0eb71e85")
		h.Configure([]hostfacts.Instance{
			web,
			{Service: "backup", Unit: "backup.service", Job: true},
			{Service: "migrate", Unit: "migrate.service", MayEnd: true},
			{Service: "seed", Unit: "seed.service", MayEnd: true},
		}, nil)
		h.start()
		defer h.stop()
		h.is("web.service", Healthy, "")
		h.is("backup.service", Healthy, "")
		h.is("migrate.service", Healthy, "")
		h.is("seed.service", Unhealthy, "seed.service is not running")
	})
}

func TestCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		for _, unit := range []string{"api-2.service", "api.service", "api@v2.service"} {
			h.unit(unit, true)
		}
		h.Configure([]hostfacts.Instance{
			{Service: "api", Version: "v2", Unit: "api@v2.service"},
			{Service: "api", Unit: "api.service"},
			{Service: "api", Unit: "api-2.service"},
		}, nil)
		now := time.Now()
		want := []Instance{
			{Service: "api", Unit: "api-2.service", Copy: 1, State: Healthy, Since: now},
			{Service: "api", Unit: "api.service", Copy: 2, State: Healthy, Since: now},
			{Service: "api", Version: "v2", Unit: "api@v2.service", Copy: 1, State: Healthy, Since: now},
		}
		if diff := cmp.Diff(want, h.Instances()); diff != "" {
			t.Error(diff)
		}
	})
}

// New facts keep what is as it was.
func TestConfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.unit("web.service", true)
		h.unit("api.service", true)
		api := hostfacts.Instance{Service: "api", Unit: "api.service"}
		apiCheck := webCheck()
		apiCheck.Name, apiCheck.Service, apiCheck.Unit = "api", "api", "api.service"
		h.answer("web", true, "")
		h.answer("api", true, "")
		h.Configure([]hostfacts.Instance{web, api}, []hostfacts.Check{webCheck(), apiCheck})
		h.start()
		defer h.stop()
		h.after("web.service", Healthy)
		h.after("api.service", Healthy)
		since := h.Instances()[1].Since

		moved := webCheck()
		moved.Place = "nixmesh.hcl:9"
		apiCheck.Path = "/other"
		h.Configure([]hostfacts.Instance{web, api}, []hostfacts.Check{moved, apiCheck})
		h.is("web.service", Healthy, "")
		h.is("api.service", Starting, "")
		if now := h.Instances()[1].Since; !now.Equal(since) {
			t.Errorf("since %s, was %s", now, since)
		}
		h.after("api.service", Healthy)

		h.Configure([]hostfacts.Instance{web}, nil)
		h.is("web.service", Healthy, "")
		if n := len(h.Instances()); n != 1 {
			t.Errorf("%d instances", n)
		}
		synctest.Wait()
		ran := h.count(func() int { return len(h.began["web"]) + len(h.began["api"]) })
		time.Sleep(time.Minute)
		if now := h.count(func() int { return len(h.began["web"]) + len(h.began["api"]) }); now != ran {
			t.Errorf("checks that were removed ran %d times", now-ran)
		}
	})
}

// A check that takes long is never there twice, new facts or not.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.takes = 3 * time.Second
		h.unit("web.service", true)
		h.answer("web", true, "")
		c := webCheck()
		c.Every = hostfacts.Duration(time.Second)
		for n := range 20 {
			c.Path = fmt.Sprintf("/%d", n)
			h.Configure([]hostfacts.Instance{web}, []hostfacts.Check{c})
			if n == 0 {
				h.start()
				defer h.stop()
			}
			time.Sleep(700 * time.Millisecond)
		}
		h.after("web.service", Healthy)
	})
}

// Checks of a host do not all run in the same moment, whoever started them.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.unit("web.service", true)
		var checks []hostfacts.Check
		for n := range 100 {
			c := webCheck()
			c.Name = fmt.Sprint(n)
			h.answer(c.Name, true, "")
			checks = append(checks, c)
		}
		h.Configure([]hostfacts.Instance{web}, checks)
		h.start()
		defer h.stop()
		time.Sleep(time.Minute)
		h.mu.Lock()
		defer h.mu.Unlock()
		slots := map[time.Duration]int{}
		for name, began := range h.began {
			n := len(began)
			if n < 12 || n > 16 {
				t.Errorf("check %s ran %d times in a minute", name, n)
			}
			slots[began[n-1].Sub(began[n-1].Truncate(5*time.Second)).Truncate(500*time.Millisecond)]++
		}
		for slot, n := range slots {
			if n > 30 {
				t.Errorf("%d of 100 checks run %s after the round time", n, slot)
			}
		}
	})
}

func TestRecall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(100 * 365 * 24 * time.Hour) // beyond the times of files here
		h := newHost(t)
		h.unit("web.service", true)
		h.unit("api.service", true)
		api := hostfacts.Instance{Service: "api", Unit: "api.service"}
		options := h.options()
		options.Previous = []Instance{
			{Service: "web", Unit: "web.service", State: Healthy, Since: time.Now().Add(-time.Hour)},
			{Service: "api", Unit: "api.service", State: Unhealthy, Since: time.Now().Add(-time.Hour)},
		}
		h.Health = New(options)
		apiCheck := webCheck()
		apiCheck.Name, apiCheck.Service, apiCheck.Unit = "api", "api", "api.service"
		h.answer("web", false, "broken meanwhile")
		h.Configure([]hostfacts.Instance{web, api}, []hostfacts.Check{webCheck(), apiCheck})
		h.start()
		defer h.stop()
		h.is("web.service", Healthy, "")
		h.is("api.service", Starting, "")
		within(t, "failing", h.after("web.service", Unhealthy), 5*time.Second, 16*time.Second)
		// It is remembered once.
		h.noUnit("web.service")
		h.unit("web.service", true)
		h.after("web.service", Starting)
	})
}

// A panic of one check is a failure of that check.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.unit("web.service", true)
		o := h.options()
		o.Run = func(context.Context, hostfacts.Check) hostfacts.Result { panic("index out of range") }
		h.Health = New(o)
		h.Configure([]hostfacts.Instance{web}, []hostfacts.Check{webCheck()})
		h.start()
		defer h.stop()
		h.after("web.service", Unhealthy)
		h.is("web.service", Unhealthy, "the check itself broke: index out of range")
	})
}

// Stop waits for no answer.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.takes = time.Hour
		h.unit("web.service", true)
		h.Configure([]hostfacts.Instance{web}, []hostfacts.Check{webCheck()})
		h.start()
		time.Sleep(10 * time.Second)
		begun := time.Now()
		h.stop()
		if d := time.Since(begun); d != 0 {
			t.Errorf("stopping took %s", d)
		}
		h.Configure(nil, nil) // after the end it does nothing but answer
		if n := len(h.Instances()); n != 0 {
			t.Errorf("%d instances", n)
		}
	})
}
