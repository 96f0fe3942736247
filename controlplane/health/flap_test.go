package health

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.unit("web.service", true)
		c := webCheck()
		c.Every, c.Rise, c.Fall = hostfacts.Duration(time.Second), 1, 1
		h.answer("web", true, "")
		h.Configure([]hostfacts.Instance{web}, []hostfacts.Check{c})
		h.start()
		defer h.stop()
		h.after("web.service", Healthy)
		before := h.count(func() int { return h.changes })
		for range 60 {
			h.answer("web", false, "GET / 500")
			time.Sleep(1500 * time.Millisecond)
			h.answer("web", true, "")
			time.Sleep(1500 * time.Millisecond)
		}
		// 60 falls and as many recoveries in three minutes.
		if n := h.count(func() int { return h.changes }) - before; n < 6 || n > 40 {
			t.Errorf("%d changes told", n)
		}
		synctest.Wait()
		if i := h.Instances()[0]; i.Flaps < 20 || i.State != Unhealthy {
			t.Errorf("shown as %+v", i)
		}
		// It gets well at last, and is forgiven.
		within(t, "believing it", h.after("web.service", Healthy), 5*time.Second, 11*time.Second)
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if i := h.Instances()[0]; i.Flaps != 0 {
			t.Errorf("after ten minutes: %+v", i)
		}
	})
}

// Two restarts in a row, as two deploys make them, are no flapping.
func TestRestartsAreNoFlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.unit("web.service", true)
		h.Configure([]hostfacts.Instance{web}, nil)
		h.start()
		defer h.stop()
		for range 2 {
			h.noUnit("web.service")
			h.after("web.service", Unhealthy)
			h.unit("web.service", true)
			within(t, "the restart", h.after("web.service", Healthy), 0, time.Second)
		}
	})
}

// A reason that is another one each time is no flood.
func TestReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.unit("web.service", true)
		c := webCheck()
		c.Every = hostfacts.Duration(100 * time.Millisecond)
		h.answer("web", false, "")
		h.Configure([]hostfacts.Instance{web}, []hostfacts.Check{c})
		h.start()
		defer h.stop()
		h.after("web.service", Unhealthy)
		before := h.count(func() int { return h.changes })
		for range 600 {
			h.answer("web", false, "at "+time.Now().String())
			time.Sleep(100 * time.Millisecond)
		}
		if n := h.count(func() int { return h.changes }) - before; n < 5 || n > 7 {
			t.Errorf("%d changes told in a minute", n)
		}
	})
}
