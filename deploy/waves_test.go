package deploy

import (
	"reflect"
	"testing"

	"github.com/nixmesh/nixmesh/spec"
)

func TestWaves(t *testing.T) {
	f := newWorld().Fleet
	got := Waves(f, []string{"edge1", "app2", "app1", "db2", "db1"})
	want := []Wave{{"@db", []string{"db1", "db2"}}, {"@canary", []string{"app2"}}, {"@app", []string{"app1"}}, {"@edge", []string{"edge1"}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	if got := Waves(f, []string{"app1"}); len(got) != 1 {
		t.Errorf("empty waves are kept: %v", got)
	}
	f.Rollout.Order, f.Rollout.OrderText = [][]string{{"db1"}}, []string{"db1"}
	if got := Waves(f, []string{"app1", "db1"}); len(got) != 2 || got[1].Hosts[0] != "app1" {
		t.Errorf("hosts that no wave names go last: %v", got)
	}
}

func TestMayStart(t *testing.T) {
	f := newWorld().Fleet
	f.Services = []*spec.Service{{Name: "web", On: []string{"app1", "edge1"}, Rollout: spec.ServiceRollout{MinHealthy: -1}}}
	ledger := LedgerHosts(f)
	if mayStart(f, ledger, "app2", []string{"app1"}) {
		t.Error("two ledger hosts at once")
	}
	if mayStart(f, ledger, "edge1", []string{"app1"}) {
		t.Error("both instances of web at once")
	}
	if !mayStart(f, ledger, "edge1", []string{"db2"}) {
		t.Error("hosts with nothing in common wait for each other")
	}
}

func TestAtOnce(t *testing.T) {
	for _, c := range []struct {
		r    spec.Rollout
		wave int
		want int
	}{{spec.Rollout{Parallel: 2}, 10, 2}, {spec.Rollout{ParallelPct: 25}, 10, 2}, {spec.Rollout{ParallelPct: 1}, 10, 1}, {spec.Rollout{}, 3, 3}} {
		if got := atOnce(c.r, c.wave); got != c.want {
			t.Errorf("%+v of %d: got %d", c.r, c.wave, got)
		}
	}
}
