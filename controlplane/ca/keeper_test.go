package ca

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// settle lets a keeper do what it has to do now.
func settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func TestKeeperRenewsForWeeks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.keeper("app1")
		changed := map[string]int{}
		k.Changed = func(service string) { changed[service]++ }
		stop := run(t, k)
		settle()
		for range 4 * 7 * 12 {
			for _, service := range []string{"api", "web"} {
				if err := r.serves(k, service); err != nil {
					t.Fatalf("%s: %v", service, err)
				}
				if s := k.Status().of(service); s.Level != trust.LevelOK || s.Error != "" {
					t.Fatalf("%s: %+v", service, s)
				}
			}
			time.Sleep(2 * time.Hour)
		}
		stop()
		for service, n := range changed {
			// 28 days in steps of 28.8 to 36 hours.
			if n < 18 || n > 24 {
				t.Errorf("%s: renewed %d times", service, n)
			}
		}
		if issued := r.issued(); issued != changed["api"]+changed["web"] {
			t.Errorf("%d leaves in the logs, %d taken", issued, changed["api"]+changed["web"])
		}
		if len(r.hosts["app1"].store.files) != 2 {
			t.Errorf("%d files", len(r.hosts["app1"].store.files))
		}
	})
}

// At least 36 hours pass with every authority dead before the first service
// stops, and the status warns long before.
func TestKeeperOutlivesItsAuthorities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.keeper("app1")
		defer run(t, k)()
		settle()
		time.Sleep(5 * day)
		r.set(r.down, true, "db1", "db2")
		begin := time.Now()
		var warned, critical time.Duration
		for r.serves(k, "api") == nil {
			switch k.Status().of("api").Level {
			case trust.LevelWarn:
				warned = time.Since(begin)
			case trust.LevelCritical:
				if critical == 0 {
					critical = time.Since(begin)
				}
			}
			time.Sleep(10 * time.Minute)
		}
		if died := time.Since(begin); died < 36*time.Hour || died > 72*time.Hour+time.Hour {
			t.Errorf("served for %s", died)
		}
		if warned == 0 || critical == 0 {
			t.Error("nobody was warned")
		}
		s := k.Status()
		if i := s.of("api"); i.Level != trust.LevelExpired || !strings.Contains(i.Error, "connection refused") || i.ErrorAt.IsZero() {
			t.Errorf("status %+v", i)
		}
		if a := s.Authorities[0]; a.Failures == 0 || !strings.Contains(a.Error, "connection refused") {
			t.Errorf("authority %+v", a)
		}
		if _, ok := k.Leaf("api"); !ok {
			t.Error("the proxy's secret was taken away")
		}
		r.set(r.down, false, "db2")
		time.Sleep(2*time.Minute + time.Second)
		for _, service := range []string{"api", "web"} {
			if err := r.serves(k, service); err != nil {
				t.Errorf("%s two minutes after an authority came back: %v", service, err)
			}
		}
	})
}

func TestKeeperAsksTheNextAuthority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.keeper("app1")
		first := k.Status().Authorities[0].Host
		other := map[string]string{"db1": "db2", "db2": "db1"}[first]
		r.set(r.deaf, true, first)
		begin := time.Now()
		defer run(t, k)()
		time.Sleep(askTimeout + time.Second)
		for _, service := range []string{"api", "web"} {
			if err := r.serves(k, service); err != nil {
				t.Errorf("%s after %s: %v", service, time.Since(begin), err)
			}
		}
		if r.issued() != 2 {
			t.Errorf("%s issued %d", other, r.issued())
		}
		if a := k.Status().Authorities[0]; a.Failures != 1 {
			t.Errorf("the deaf one was asked %d times; one timeout is enough for two services", a.Failures)
		}
	})
}

func TestKeeperServesAfterARestartWithoutPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.keeper("app1")
		stop := run(t, k)
		settle()
		stop()
		r.set(r.down, true, "db1", "db2")
		h := r.hosts["app1"]
		h.store.files[heldName("web")] = h.store.files[heldName("web")][:100]
		time.Sleep(50 * time.Hour)
		again := must(NewKeeper(KeeperOptions{Host: "app1", Node: h.node, NodeCert: h.cert, Store: h.store, Transport: r, Clock: h.clock, Logger: quiet()}))(t)
		if err := r.serves(again, "api"); err != nil {
			t.Errorf("before it knows the fleet: %v", err)
		}
		if s := again.Status(); len(s.SetAside) != 1 || s.SetAside[0] != "svc-web.v1.corrupt" || !h.store.has("svc-web.v1.corrupt") {
			t.Errorf("set aside: %v", s.SetAside)
		}
		again.Configure(r.fleet)
		defer run(t, again)()
		settle()
		if s := again.Status().of("web"); s.Level != trust.LevelExpired || s.Error == "" || s.ID != "" {
			t.Errorf("web: %+v", s)
		}
		r.set(r.down, false, "db1")
		time.Sleep(2 * time.Minute)
		if err := r.serves(again, "web"); err != nil {
			t.Errorf("rebuilt: %v", err)
		}
	})
}

func TestKeeperOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		store := r.hosts["app1"].store
		store.setFull(true)
		k := r.keeper("app1")
		defer run(t, k)()
		settle()
		if err := r.serves(k, "api"); err != nil {
			t.Error(err)
		}
		if !k.Status().of("api").Unsaved {
			t.Error("the status says it is on disk")
		}
		store.setFull(false)
		time.Sleep(longestWait + time.Second)
		if k.Status().of("api").Unsaved || !store.has(heldName("api")) {
			t.Error("not saved when there is room again")
		}
	})
}

func TestKeeperFollowsPlacement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.keeper("app1")
		defer run(t, k)()
		settle()
		before, _ := k.Leaf("web")
		place := func(hosts ...string) {
			r.change(func(c *mesh.Config) {
				c.Services["web"] = &mesh.Service{Versions: []mesh.Version{{Hosts: hosts}}}
			}, r.fleet.Roots)
			k.Configure(r.fleet)
			settle()
		}
		place("app2")
		if s := k.Status().of("web"); s.Placed || !s.Renews.IsZero() {
			t.Errorf("moved away: %+v", s)
		}
		time.Sleep(40 * time.Hour)
		place("app1", "app2")
		if after, _ := k.Leaf("web"); after.Chain[0].Equal(before.Chain[0]) || r.serves(k, "web") != nil {
			t.Error("not renewed after it came back")
		}
		place("app2")
		time.Sleep(80 * time.Hour)
		if _, ok := k.Leaf("web"); ok || r.hosts["app1"].store.has(heldName("web")) {
			t.Error("an expired leaf of a service that moved away is kept")
		}
		if err := r.serves(k, "api"); err != nil {
			t.Error(err)
		}
	})
}

// The keeper has the new configuration before its authorities have.
func TestKeeperIsAheadOfItsAuthorities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		old := r.fleet
		r.change(func(c *mesh.Config) {
			c.Services["new"] = &mesh.Service{Versions: []mesh.Version{{Hosts: mesh.Names{"app1"}}}}
		}, r.fleet.Roots)
		k := r.keeper("app1")
		for _, i := range r.issuer {
			i.Configure(old)
		}
		defer run(t, k)()
		settle()
		if s := k.Status().of("new"); !strings.Contains(s.Error, "placement") || s.Level != trust.LevelExpired {
			t.Errorf("new: %+v", s)
		}
		if err := r.serves(k, "api"); err != nil {
			t.Errorf("api waits for new: %v", err)
		}
		for _, i := range r.issuer {
			i.Configure(r.fleet)
		}
		time.Sleep(urgentRetry)
		if err := r.serves(k, "new"); err != nil {
			t.Error(err)
		}
	})
}

func TestHostBackAfterMonths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.keeper("app1")
		stop := run(t, k)
		settle()
		stop()
		time.Sleep(200 * day)
		k = r.keeper("app1")
		if s := k.Status().of("api"); s.Level != trust.LevelExpired {
			t.Errorf("before: %+v", s)
		}
		defer run(t, k)()
		settle()
		if err := r.serves(k, "api"); err != nil {
			t.Error(err)
		}
	})
}

// A host that slept through a root's rotation gets a leaf which its peers take,
// though its own generation does not know the root yet, and says so.
func TestHostBackAfterARotationOfTheRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		asleep := r.fleet
		k := r.keeper("app1")
		stop := run(t, k)
		settle()
		stop()
		time.Sleep(30 * day)
		next := must(trust.NextRoot("shop", r.root.Domain, time.Now()))(t)
		roots := must(trust.NewBundle(next.Domain, next.Certificate))(t)
		r.change(func(*mesh.Config) {}, roots)
		for name := range r.issuer {
			r.appoint(name, next)
		}
		k = r.keeper("app1")
		k.Configure(asleep)
		defer run(t, k)()
		settle()
		if err := r.serves(k, "api"); err != nil {
			t.Errorf("peers: %v", err)
		}
		if s := k.Status().of("api"); !s.Unknown || !strings.Contains(s.Error, "no root") {
			t.Errorf("status %+v", s)
		}
		issued := r.issued()
		time.Sleep(day)
		if more := r.issued() - issued; more > 2*2*60 {
			t.Errorf("%d leaves a day", more)
		}
		k.Configure(r.fleet) // the deploy
		time.Sleep(maxRetry)
		if s := k.Status().of("api"); s.Unknown || s.Error != "" {
			t.Errorf("after the deploy: %+v", s)
		}
	})
}

// A root is rotated in steps; at each moment each host's leaves are taken by
// every other host, whichever step that has made.
func TestRootRotationHasNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		app1, app2 := r.keeper("app1"), r.keeper("app2")
		defer run(t, app1)()
		defer run(t, app2)()
		old := r.fleet.Roots
		peers := []trust.Bundle{old, old}
		watch := func(d time.Duration) {
			t.Helper()
			for range int(d / (30 * time.Minute)) {
				time.Sleep(30 * time.Minute)
				for _, roots := range peers {
					for _, k := range []*Keeper{app1, app2} {
						leaf, _ := k.Leaf("api")
						if _, err := roots.Verify(leaf.Chain, time.Now()); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		}
		configure := func(k *Keeper, roots trust.Bundle) {
			k.Configure(must(NewFleet(r.fleet.Config, roots))(t))
		}
		watch(day)
		next := must(trust.NextRoot("shop", r.root.Domain, time.Now()))(t)
		both := must(old.Add(next.Certificate))(t)
		only := must(both.Drop(r.root.Fingerprint()))(t)
		configure(app1, both) // add, host by host
		peers[0] = both
		watch(day)
		configure(app2, both)
		peers[1] = both
		r.change(func(*mesh.Config) {}, both)
		watch(day)
		r.appoint("db1", next) // switch, authority by authority
		watch(day)
		r.appoint("db2", next)
		watch(72 * time.Hour)
		configure(app1, only) // drop, host by host
		peers[0] = only
		watch(day)
		configure(app2, only)
		peers[1] = only
		r.change(func(*mesh.Config) {}, only)
		watch(5 * day)
		if s := app1.Status().of("api"); s.Unknown || s.Level != trust.LevelOK {
			t.Errorf("status %+v", s)
		}
	})
}

// Authorities come and go; while within 36 hours one is up for half an hour, no
// service is ever without a leaf that peers take.
func TestHalfAnHourIsEnough(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seeds := rapid.SliceOfN(rapid.IntRange(0, 11*60), 4, 4).Draw(rt, "minute of the day")
		which := rapid.SliceOfN(rapid.SampledFrom([]string{"db1", "db2"}), 4, 4).Draw(rt, "authority")
		kind := rapid.SliceOfN(rapid.Bool(), 4, 4).Draw(rt, "deaf")
		restart := rapid.SliceOfN(rapid.Bool(), 4, 4).Draw(rt, "restart")
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			k := r.keeper("app1")
			stop := run(t, k)
			defer func() { stop() }()
			settle()
			check := func() {
				if err := r.serves(k, "api"); err != nil {
					t.Fatal(err)
				}
			}
			for n, minute := range seeds {
				r.set(r.down, !kind[n], "db1", "db2")
				r.set(r.deaf, kind[n], "db1", "db2")
				time.Sleep(time.Duration(minute) * time.Minute)
				check()
				if restart[n] {
					stop()
					k = r.keeper("app1")
					stop = run(t, k)
				}
				r.set(r.down, false, which[n])
				r.set(r.deaf, false, which[n])
				time.Sleep(30 * time.Minute)
				check()
				r.set(r.down, true, "db1", "db2")
				time.Sleep(day - 30*time.Minute - time.Duration(minute)*time.Minute)
				check()
			}
		})
	})
}

func TestKeeperRefusesAForeignNodeCert(t *testing.T) {
	a, b := newHost(t, "app1"), newHost(t, "app2")
	for name, cert := range map[string]trust.NodeCert{"of another host": b.cert, "of another key": newHost(t, "app1").cert} {
		if _, err := NewKeeper(KeeperOptions{Host: "app1", Node: a.node, NodeCert: cert, Store: a.store}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestKeeperStopsInTheMiddleOfARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.set(r.deaf, true, "db1", "db2")
		k := r.keeper("app1")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- k.Run(ctx) }()
		settle()
		begin := time.Now()
		cancel()
		if err := <-done; err != nil || time.Since(begin) > 0 {
			t.Errorf("stopped after %s: %v", time.Since(begin), err)
		}
		if a := k.Status().Authorities[0]; a.Failures != 0 {
			t.Errorf("the authority is blamed: %+v", a)
		}
	})
}
