package health

import (
	"os"
	"path/filepath"
	"testing"
)

func TestNotices(t *testing.T) {
	n, err := openNotices()
	if err != nil {
		t.Skip("no notices here: ", err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "cgroup.events")
	if err := os.WriteFile(file, []byte("populated 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	n.written(file)
	n.written(filepath.Join(dir, "gone"))
	n.made(dir)
	for _, change := range []func() error{
		func() error { return os.WriteFile(file, []byte("populated 0\n"), 0o644) },
		func() error { return os.Mkdir(filepath.Join(dir, "web.service"), 0o755) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if err := n.wait(); err != nil {
			t.Fatal(err)
		}
	}
	// Closing ends a wait, as Stop needs it.
	ended := make(chan error)
	go func() {
		for {
			if err := n.wait(); err != nil {
				ended <- err
				return
			}
		}
	}()
	n.close()
	<-ended
}
