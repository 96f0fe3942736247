package rollback

import (
	"path"
	"testing"
)

// TestBrokenBefore: a failure is old news when nothing started the unit since,
// or when what was started again is what had failed.
func TestBrokenBefore(t *testing.T) {
	failed := func(name string) UnitDetail {
		return UnitDetail{UnitInfo: UnitInfo{Name: name, Active: "failed"}, Invocation: "2"}
	}
	cases := []struct {
		name     string
		unit     string
		baseline UnitBaseline
		old, new map[string]string // below etcUnits
		want     bool
	}{
		{"not failed before", "a.service", UnitBaseline{Active: "active", Invocation: "1"}, nil, nil, false},
		{"not there before", "b.service", UnitBaseline{}, nil, nil, false},
		{"the very failure, file changed", "a.service", UnitBaseline{Active: "failed", Invocation: "2"},
			map[string]string{"a.service": "1"}, map[string]string{"a.service": "2"}, true},
		{"tried again, same file", "a.service", UnitBaseline{Active: "failed", Invocation: "1"},
			map[string]string{"a.service": "1"}, map[string]string{"a.service": "1"}, true},
		{"file changed", "a.service", UnitBaseline{Active: "failed", Invocation: "1"},
			map[string]string{"a.service": "1"}, map[string]string{"a.service": "2"}, false},
		{"file gone", "a.service", UnitBaseline{Active: "failed", Invocation: "1"},
			map[string]string{"a.service": "1"}, nil, false},
		{"drop-in changed", "a.service", UnitBaseline{Active: "failed", Invocation: "1"},
			map[string]string{"a.service": "1", "a.service.d/o.conf": "1"}, map[string]string{"a.service": "1", "a.service.d/o.conf": "2"}, false},
		{"drop-in new", "a.service", UnitBaseline{Active: "failed", Invocation: "1"},
			map[string]string{"a.service": "1"}, map[string]string{"a.service": "1", "a.service.d/o.conf": "2"}, false},
		{"no drop-in, other file in its folder", "a.service", UnitBaseline{Active: "failed", Invocation: "1"},
			map[string]string{"a.service": "1"}, map[string]string{"a.service": "1", "a.service.d/README": "2"}, true},
		{"template changed", "a@x.service", UnitBaseline{Active: "failed", Invocation: "1"},
			map[string]string{"a@.service": "1"}, map[string]string{"a@.service": "2"}, false},
		{"template same", "a@x.service", UnitBaseline{Active: "failed", Invocation: "1"},
			map[string]string{"a@.service": "1"}, map[string]string{"a@.service": "1"}, true},
		{"of fstab, same", "mnt.mount", UnitBaseline{Active: "failed", Invocation: "1"},
			map[string]string{"../../fstab": "1"}, map[string]string{"../../fstab": "1"}, true},
		{"of fstab, changed", "mnt.mount", UnitBaseline{Active: "failed", Invocation: "1"},
			map[string]string{"../../fstab": "1"}, map[string]string{"../../fstab": "2"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSimHost(t)
			for top, files := range map[string]map[string]string{simOld: c.old, simNew: c.new} {
				for name, text := range files {
					s.disk.put(path.Join(top+etcUnits, name), text)
				}
			}
			j := &Journal{Old: simOld, New: simNew, Baseline: map[string]UnitBaseline{"a.service": c.baseline, "a@x.service": c.baseline, "mnt.mount": c.baseline}}
			if got := s.helper().brokenBefore(j, failed(c.unit)); got != c.want {
				t.Errorf("broken before: %v, want %v", got, c.want)
			}
		})
	}
}
