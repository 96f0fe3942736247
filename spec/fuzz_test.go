package spec

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzCheck gives any bytes to everything between reading and a fleet: no panic,
// every diagnostic within its file and with a known code, a fleet exactly when
// there is no error, and the same answer twice.
func FuzzCheck(f *testing.F) {
	f.Add([]byte(base))
	cases, err := filepath.Glob("testdata/check/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range cases {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range archive.Files {
			if part.Name == "in.hcl" || part.Name == "nixmesh.hcl" {
				f.Add(part.Data)
			}
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		run := func() (*Fleet, Diagnostics) {
			s := newSink()
			files := map[string][]byte{rootFile: []byte(base), "in.hcl": text}
			fleet, _ := check(s, dir, files, []string{rootFile, "in.hcl"}, Options{Version: "0.1.0"}, map[string]bool{})
			s.found.sort()
			return fleet, s.found
		}
		fleet, found := run()
		if fleet == nil && !found.HasErrors() {
			t.Fatal("no fleet and no error")
		}
		for _, d := range found {
			if _, known := codes()[d.Code]; !known {
				t.Errorf("unknown code in %v", d)
			}
			if d.File == "in.hcl" && (d.Start.Byte > d.End.Byte || d.End.Byte > len(text)) {
				t.Errorf("%v: bytes %d to %d of %d", d, d.Start.Byte, d.End.Byte, len(text))
			}
		}
		var rendered bytes.Buffer
		found.Render(&rendered, map[string][]byte{"in.hcl": text}, true)
		if _, again := run(); !bytes.Equal(found.JSON(), again.JSON()) {
			t.Errorf("not the same twice:\n%s\n%s", found.JSON(), again.JSON())
		}
		if !found.HasErrors() {
			(&Lock{keys: map[string]string{}}).Allocate(fleet)
		}
		once, _ := Format("in.hcl", text)
		if twice, _ := Format("in.hcl", once); !bytes.Equal(once, twice) {
			t.Errorf("format is not stable: %q, then %q", once, twice)
		}
	})
}

// FuzzLock reads any bytes; what it takes, it writes back without loss.
func FuzzLock(f *testing.F) {
	f.Add([]byte(lockHeader + "\ngone port old 20003\nhostkey app1 " + testKey + "\nport web:admin 20002\nuid nm-web 32000\n"))
	if text, err := os.ReadFile("../hosts/shop/" + LockFile); err == nil {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l, d := parseLock(text)
		if (l == nil) != (len(d) > 0) {
			t.Fatal(l, d)
		}
		if l == nil {
			return
		}
		again, d := parseLock(l.Bytes())
		if len(d) > 0 || !bytes.Equal(again.Bytes(), l.Bytes()) {
			t.Errorf("%q does not read back: %v", l.Bytes(), d)
		}
	})
}
