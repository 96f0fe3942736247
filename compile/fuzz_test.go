package compile_test

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/nixmesh/nixmesh/compile"
	"github.com/nixmesh/nixmesh/spec"
)

// fuzzBase is the rest of a fleet for seeds that are about one service.
const fuzzBase = `fleet "shop" {
  nixpkgs = "github:NixOS/nixpkgs/nixos-26.05"
  inputs  = { infra = "github:acme/infra" }
}
operator "anna" {
  ssh     = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINRu38q/QgCaVk/IrsdZG8pOsCkTgnvQqZb8fRbZm95h anna"]
  nix_key = "anna-1:scSNUqwvlTCzaZd0B4oIr8B9f7Jx7QDKDmHal4RCx5E="
}
host "app1" {
  address = "10.0.0.21"
  tags    = ["app"]
}
host "app2" {
  address = "10.0.0.22"
  tags    = ["app", "canary"]
  imports = ["infra#nixosModules.base"]
}
`

// FuzzFleet gives a folder of any files, as an archive, to everything between
// reading and the text of hosts: no panic, no wait, every diagnostic within its
// file, a fleet exactly when there is no error, the same answer twice, and a
// fleet that is valid compiles. The file "--var" holds lines of NAME=VALUE;
// lab.hcl switches the lab on.
func FuzzFleet(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		dir, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		o, ok := unpackFuzz(dir, parseFuzz(text))
		if !ok {
			t.Skip("not the files of a fleet")
		}
		started := time.Now()
		loaded := spec.Load(dir, o)
		if took := time.Since(started); took > 20*time.Second {
			t.Errorf("Load took %v", took)
		}
		holds(t, loaded)
		if again := spec.Load(dir, o); !bytes.Equal(again.Diagnostics.JSON(), loaded.Diagnostics.JSON()) {
			t.Errorf("not the same twice:\n%s\n%s", loaded.Diagnostics.JSON(), again.Diagnostics.JSON())
		}
		if loaded.Fleet == nil {
			return
		}
		lock, found := spec.ReadLock(dir)
		if lock == nil {
			return
		}
		_, full := lock.Allocate(loaded.Fleet)
		once := lock.Bytes()
		if lock.Allocate(loaded.Fleet); !bytes.Equal(lock.Bytes(), once) {
			t.Errorf("allocated twice:\n%s\n%s", once, lock.Bytes())
		}
		_, err = compile.Compile(loaded.Fleet, lock, testOptions())
		if err != nil && len(found)+len(full) == 0 {
			t.Errorf("a valid fleet does not compile: %v", err)
		}
	})
}

// holds checks what is true of every answer.
func holds(t *testing.T, loaded *spec.Loaded) {
	t.Helper()
	if (loaded.Fleet == nil) != loaded.Diagnostics.HasErrors() {
		t.Errorf("fleet %v with %v", loaded.Fleet, loaded.Diagnostics)
	}
	for _, d := range loaded.Diagnostics {
		if d.Summary == "" || d.Detail == "" {
			t.Errorf("says nothing: %v", d)
		}
		size := len(loaded.Files[d.File])
		if d.Start.Byte < 0 || d.Start.Byte > d.End.Byte || d.End.Byte > size || d.Start.Line < 1 && d.File != "" {
			t.Errorf("%v: bytes %d to %d of %d", d, d.Start.Byte, d.End.Byte, size)
		}
	}
	loaded.Diagnostics.Render(io.Discard, loaded.Files, true)
}

// parseFuzz is txtar.Parse for any bytes: that one panics on the line "-- --".
func parseFuzz(text []byte) *txtar.Archive {
	archive := &txtar.Archive{}
	for line := range bytes.Lines(text) {
		name, isMarker := bytes.CutPrefix(bytes.TrimSuffix(line, []byte("\n")), []byte("-- "))
		name, closed := bytes.CutSuffix(name, []byte(" --"))
		switch n := len(archive.Files); {
		case isMarker && closed:
			archive.Files = append(archive.Files, txtar.File{Name: string(name)})
		case n > 0:
			archive.Files[n-1].Data = append(archive.Files[n-1].Data, line...)
		}
	}
	return archive
}

// unpackFuzz writes an archive into a folder, if it is one that a test should
// write.
func unpackFuzz(dir string, archive *txtar.Archive) (spec.Options, bool) {
	o := spec.Options{Version: "0.3.1"}
	if len(archive.Files) > 16 {
		return o, false
	}
	files := map[string][]byte{"nixmesh.hcl": []byte(fuzzBase)}
	for _, f := range archive.Files {
		switch {
		case f.Name == "--var":
			o.Vars = map[string]string{}
			for line := range strings.Lines(string(f.Data)) {
				name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
				o.Vars[name] = value
			}
		case !filepath.IsLocal(f.Name) || len(f.Name) > 64 || strings.Count(f.Name, "/") > 4:
			return o, false
		default:
			o.Lab = o.Lab || strings.HasPrefix(f.Name, "lab.hcl")
			files[filepath.Clean(f.Name)] = f.Data
		}
	}
	for name, text := range files {
		file := filepath.Join(dir, name)
		if os.MkdirAll(filepath.Dir(file), 0o755) != nil || os.WriteFile(file, text, 0o644) != nil {
			return o, false
		}
	}
	return o, true
}

// seed adds the goldens of the language and of the compiler, and the reference
// fleet.
func seed(f *testing.F) {
	f.Helper()
	var archives []string
	for _, pattern := range []string{"../spec/testdata/check/*.txtar", "testdata/*.txtar", "testdata/mesh/*.txtar"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		archives = append(archives, found...)
	}
	for _, name := range archives {
		if strings.Contains(name, "nm0210_") {
			continue // seconds each, by what they are
		}
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		kept := &txtar.Archive{}
		for _, file := range archive.Files {
			if file.Name != "diagnostics" && !strings.HasPrefix(file.Name, "want/") {
				kept.Files = append(kept.Files, file)
			}
		}
		f.Add(txtar.Format(kept))
	}
	shop := &txtar.Archive{}
	root := os.DirFS("../hosts/shop")
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(name, ".") {
			return err
		}
		text, err := fs.ReadFile(root, name)
		shop.Files = append(shop.Files, txtar.File{Name: name, Data: text})
		return err
	})
	if err != nil || len(shop.Files) == 0 {
		f.Fatal(err)
	}
	f.Add(txtar.Format(shop))
}
