package arch

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSameBytesFromTwoFolders builds the program the way `make build` does
// from two copies of the sources. The binary is part of every closure: if its
// bytes hung on the folder, every host would change with the operator's home.
func TestSameBytesFromTwoFolders(t *testing.T) {
	first, second := buildIn(t, t.TempDir()), buildIn(t, t.TempDir())
	if !bytes.Equal(first, second) {
		t.Fatalf("two folders gave different bytes (%d and %d)", len(first), len(second))
	}
	f, err := elf.NewFile(bytes.NewReader(first))
	if err != nil {
		t.Fatalf("read the binary: %v", err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Fatal("the binary is not static: it names a dynamic loader")
		}
	}
}

func buildIn(t *testing.T, dir string) []byte {
	t.Helper()
	files := exec.Command("sh", "-c", `git ls-files -z | xargs -0 cp --parents -t "$0"`, dir)
	files.Dir = "../.."
	if out, err := files.CombinedOutput(); err != nil {
		t.Fatalf("copy the sources: %v\n%s", err, out)
	}
	build := exec.Command("make", "build")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOFLAGS=-mod=readonly")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "bin", "nixmesh"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
