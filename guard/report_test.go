package guard

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A report that nobody touches any more says nothing of now.
func TestReportOfNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.json")
	if _, err := ReadReport(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	w := &Watcher{o: Options{Report: path}, report: Report{Schema: Schema, Table: "x", Copy: true}}
	w.tell()
	if r, err := ReadReport(path); err != nil || r.Table != "x" {
		t.Errorf("new: %+v %v", r, err)
	}
	old := time.Now().Add(-silence - time.Second)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if r, err := ReadReport(path); !errors.Is(err, ErrSilent) {
		t.Errorf("old: %+v %v", r, err)
	}
	w.tell()
	if _, err := ReadReport(path); err != nil {
		t.Errorf("looked at again: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	w.tell()
	w.tell()
	if _, err := ReadReport(path); err != nil {
		t.Errorf("removed by somebody: %v", err)
	}
}
