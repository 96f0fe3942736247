package rollback

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestJournalFixtures: journals of every schema are read for ever, and survive
// being written again.
func TestJournalFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/journals/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		j, err := decodeJournal(b)
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if j.Run == "" || j.Phase == "" || j.Old == "" || j.New == "" || j.BootID == "" || j.Helper == "" || j.Deadline == 0 {
			t.Errorf("%s: core is not whole: %+v", f, j)
		}
		again, err := j.encode()
		if err != nil {
			t.Fatal(err)
		}
		var was, is map[string]any
		json.Unmarshal(b, &was)
		json.Unmarshal(again, &is)
		for name := range was {
			if _, ok := is[name]; !ok {
				t.Errorf("%s: field %s is lost", f, name)
			}
		}
	}
}

// TestNewerJournal: a phase that a newer version wrote, whose program is gone,
// ends in the old system.
func TestNewerJournal(t *testing.T) {
	for _, moved := range []bool{false, true} {
		s := newSimHost(t)
		b, err := os.ReadFile("testdata/journals/newer.json")
		if err != nil {
			t.Fatal(err)
		}
		s.disk.put(journalFile, string(b))
		if moved { // its commit had begun
			s.run(context.Background(), Command{Path: "nix-env", Args: []string{"-p", "x", "--set", simNew}})
			s.stc(simNew+stcPath, "boot")
		}
		s.recover()
		if err := s.check(); err != nil {
			t.Errorf("profile moved %v: %v", moved, err)
		}
		after, _ := s.disk.ReadFile(journalFile)
		if !strings.Contains(string(after), "hover") || !strings.Contains(string(after), "nixmesh.journal/9") {
			t.Errorf("what the newer version wrote is gone:\n%s", after)
		}
	}
}

// TestCompareAndSet: of two changes from one phase exactly one wins, and
// another run's journal is never touched.
func TestCompareAndSet(t *testing.T) {
	s := newSimHost(t)
	j := s.helper().journals
	if err := j.create(&Journal{Schema: JournalSchema, Run: "r1-a"}, func(*Journal) error { return nil }); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		run  string
		from []Phase
		to   Phase
		ok   bool
	}{
		{"r1-a", []Phase{PhaseRooted}, PhaseArmed, true},
		{"r1-a", []Phase{PhaseRooted}, PhaseFailed, false},
		{"r9-z", []Phase{PhaseArmed}, PhaseActivating, false},
		{"r1-a", []Phase{PhaseArmed}, PhaseActivating, true},
		{"r1-a", []Phase{PhaseActivating}, PhaseVerifying, true},
		{"r1-a", []Phase{PhaseVerifying}, PhaseCommitting, true},
		{"r1-a", []Phase{PhaseActivating, PhaseVerifying}, PhaseRollingBack, false},
		{"r1-a", []Phase{PhaseCommitting}, PhaseCommitted, true},
	}
	for _, st := range steps {
		_, err := j.change(st.run, st.from, st.to, nil)
		if (err == nil) != st.ok || (err != nil && !errors.Is(err, errConflict)) {
			t.Errorf("%s %v -> %s: %v", st.run, st.from, st.to, err)
		}
	}
	now, _ := j.load()
	var phases []Phase
	for _, p := range now.Times {
		phases = append(phases, p.Phase)
	}
	want := []Phase{PhaseRooted, PhaseArmed, PhaseActivating, PhaseVerifying, PhaseCommitting, PhaseCommitted}
	if !slices.Equal(phases, want) {
		t.Errorf("phases %v, want %v", phases, want)
	}
}
