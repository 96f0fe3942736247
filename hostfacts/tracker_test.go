package hostfacts_test

import (
	"testing"

	"github.com/nixmesh/nixmesh/hostfacts"
)

func TestTracker(t *testing.T) {
	t.Parallel()
	tracker := hostfacts.NewTracker(hostfacts.Check{Rise: 2, Fall: 3})
	// One letter a result: P pass, F fail; and the state after it: h healthy, u unhealthy.
	results := "PPFFPFFFPFPP"
	states := "uhhhhhhuuuuh"
	for i := range results {
		before := tracker.Healthy()
		changed := tracker.Add(results[i] == 'P')
		if got := tracker.Healthy(); got != (states[i] == 'h') || changed != (got != before) {
			t.Fatalf("after %s: healthy %v, changed %v", results[:i+1], got, changed)
		}
	}
}
