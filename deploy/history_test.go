package deploy

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/rollback"
)

// past makes a history: each release is for host "a", with an end ("" = none).
func past(t *testing.T, releases ...struct {
	number, restores int
	end              string
}) *History {
	t.Helper()
	h := &History{}
	for _, r := range releases {
		rel := &Release{Number: r.number, Fleet: "shop", Kind: ReleaseSystem, Restores: r.restores, Time: time.Unix(int64(r.number), 0),
			Hosts: map[string]ReleaseHost{"a": {Toplevel: top("a", r.number), Planned: true}}}
		if r.restores > 0 {
			rel.Kind = ReleaseRollback
		}
		body, err := rel.encode()
		if err != nil {
			t.Fatal(err)
		}
		raw := rollback.Record{Number: r.number, Hash: hashOf(body), Body: body}
		if r.end != "" {
			raw.Outcome, _ = json.Marshal(Outcome{End: r.end})
		}
		h.add("a", "shop", raw, nil)
	}
	if len(h.Ignored) > 0 {
		t.Fatal(h.Ignored)
	}
	return h
}

type rel = struct {
	number, restores int
	end              string
}

func TestBefore(t *testing.T) {
	const ok, bad = "committed", "rolled-back"
	for _, c := range []struct {
		name     string
		releases []rel
		want     int
	}{
		{"the one before", []rel{{1, 0, ok}, {2, 0, ok}}, 1},
		{"not an incomplete one", []rel{{1, 0, ok}, {2, 0, bad}, {3, 0, ok}}, 1},
		{"from an incomplete one", []rel{{1, 0, ok}, {2, 0, ok}, {3, 0, bad}}, 2},
		{"a rollback stands where its contents stand", []rel{{1, 0, ok}, {2, 0, ok}, {3, 0, ok}, {4, 2, ok}}, 1},
		{"what was rolled back from is left out", []rel{{1, 0, ok}, {2, 0, ok}, {3, 0, ok}, {4, 2, ok}, {5, 0, ok}}, 4},
		{"nothing before", []rel{{1, 0, ok}}, 0},
		{"nobody said how it ended", []rel{{1, 0, ""}, {2, 0, ok}}, 0},
	} {
		got := 0
		if s := past(t, c.releases...).Before(); s != nil {
			got = s.Release.Number
		}
		if got != c.want {
			t.Errorf("%s: got release %d, want %d", c.name, got, c.want)
		}
	}
}

func TestForkIsShown(t *testing.T) {
	h := past(t, rel{1, 0, "committed"})
	other := &Release{Number: 1, Fleet: "shop", By: "bob"}
	body, _ := other.encode()
	h.add("b", "shop", rollback.Record{Number: 1, Hash: hashOf(body), Body: body}, nil)
	if f := h.Fork(); len(f) != 1 || f[0] != 1 {
		t.Errorf("forks %v", f)
	}
}

func TestChangedRecordIsLeftOut(t *testing.T) {
	h := past(t, rel{1, 0, "committed"})
	raw := h.Live().Raw
	raw.Number, raw.Body = 1, append([]byte(" "), raw.Body...)
	h.add("b", "shop", raw, nil)
	if len(h.Ignored) != 1 || len(h.All()) != 1 {
		t.Errorf("ignored %v", h.Ignored)
	}
}

func TestLocalLedger(t *testing.T) {
	l := LocalLedger{Dir: t.TempDir() + "/releases"}
	h := past(t, rel{1, 0, "committed"})
	if err := l.Write(h.Live()); err != nil {
		t.Fatal(err)
	}
	again := &History{}
	if err := l.Read(again, "shop", nil); err != nil {
		t.Fatal(err)
	}
	if s := again.Live(); s == nil || !s.Complete() || s.Raw.Hash != h.Live().Raw.Hash {
		t.Errorf("read %+v", again)
	}
	other := &History{}
	if err := l.Read(other, "elsewhere", nil); err != nil || other.Live() != nil {
		t.Errorf("records of another fleet were taken: %v %v", other.Live(), err)
	}
}
