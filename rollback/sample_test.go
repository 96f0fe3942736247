package rollback

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// unitList is a systemd that lists units and remembers who was asked about.
type unitList struct {
	*simSystemd
	units []UnitInfo
	asked []string
}

func (l *unitList) List(context.Context) ([]UnitInfo, error) { return l.units, nil }

func (l *unitList) Show(_ context.Context, names []string) ([]UnitDetail, error) {
	l.asked = append(l.asked, names...)
	var out []UnitDetail
	for _, u := range l.units {
		if slices.Contains(names, u.Name) {
			out = append(out, UnitDetail{UnitInfo: u})
		}
	}
	return out, nil
}

// TestSamplePassesOver: what a verification, or the agent beside it, runs itself
// says nothing of the new system; a socket that the agent needs does.
func TestSamplePassesOver(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	unit := hostfacts.CheckUnit("web")
	l := &unitList{units: []UnitInfo{
		{Name: "web.service", Active: "active"},
		{Name: unit + "-abcdefgh.service", Active: "failed"},
		{Name: unit + "@3-42-39998.service", Active: "failed"},
		{Name: unit + ".socket", Active: "failed"},
		{Name: unitName(kindVerify, "r1-0001"), Active: "active"},
	}}
	w := &watcher{conn: l, asked: true, facts: &hostfacts.Facts{}, j: &Journal{Run: "r1-0001"}, h: &helper{}}
	s := &sample{}
	if err := w.units(ctx, s); err != nil {
		t.Fatal(err)
	}
	slices.Sort(l.asked)
	if want := []string{unit + ".socket", "web.service"}; !slices.Equal(l.asked, want) {
		t.Errorf("judged %q, want %q", l.asked, want)
	}
}

// TestSampleRemembersWhatFailed: a unit that another wants is started with each
// restart of that one. A verdict that looks just then still names it.
func TestSampleRemembersWhatFailed(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	broken := UnitInfo{Name: "broken.service", Active: "failed"}
	l := &unitList{}
	h := newSimHost(t).helper()
	h.Run = func(_ context.Context, c Command) (CommandResult, error) {
		return CommandResult{Out: []byte("why " + c.Args[len(c.Args)-1] + "\n")}, nil
	}
	w := &watcher{conn: l, asked: true, facts: &hostfacts.Facts{}, h: h,
		j: &Journal{Run: "r1-0001", Baseline: map[string]UnitBaseline{broken.Name: {Active: "failed"}}}}
	var s *sample
	for _, state := range []string{"failed", "activating"} {
		l.units = []UnitInfo{
			{Name: "agent.service", Active: "activating", Sub: "auto-restart"},
			{Name: "unseal.service", Active: state},
			{Name: "mended.service", Active: map[string]string{"failed": "failed", "activating": "active"}[state]},
			broken,
		}
		s = &sample{}
		if err := w.units(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	v := h.badVerdict(ctx, s, s.worst(), " (not verified)", w.failed)
	if want := "agent.service keeps dying (0 restarts), and failed: unseal.service (not verified)"; v.Reason != want {
		t.Errorf("reason: %q, want %q", v.Reason, want)
	}
	if want := []string{"unseal.service: why --unit=unseal.service", "why --unit=agent.service"}; !slices.Equal(v.Log, want) {
		t.Errorf("log: %q, want %q", v.Log, want)
	}
}

// TestFailureLogIsWhole: what a unit said last, the journal may not have yet.
func TestFailureLogIsWhole(t *testing.T) {
	t.Parallel()
	h, synced := newSimHost(t).helper(), false
	h.Run = func(_ context.Context, c Command) (CommandResult, error) {
		if synced = synced || slices.Contains(c.Args, "--sync"); !synced {
			return CommandResult{}, nil
		}
		return CommandResult{Out: []byte("out of luck\n")}, nil
	}
	if got, want := h.failureLog(t.Context(), "web.service", nil), []string{"out of luck"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
