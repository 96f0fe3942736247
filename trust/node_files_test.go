package trust

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEnsureNode(t *testing.T) {
	dir := t.TempDir()
	host := newTestHost(t, "db1")
	now := testNow
	read := func(name string) []byte { return must(os.ReadFile(filepath.Join(dir, name)))(t) }
	ensure := func(what, name string, by testHost, want bool) NodeCert {
		t.Helper()
		now = now.Add(-time.Hour) // a clock that goes back
		c, made, err := EnsureNode(dir, name, by.key.Private, now)
		if err != nil || made != want {
			t.Fatalf("%s: made %v, want %v: %v", what, made, want, err)
		}
		if err := c.Verify(name, by.pinned); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if !bytes.Equal(read(NodeCertFile), c.Text()) || must(ParseNodeKey(read(NodeKeyFile)))(t).Public() != c.Key {
			t.Errorf("%s: the files are other ones", what)
		}
		return c
	}
	first := ensure("nothing there", "db1", host, true)
	if again := ensure("all there", "db1", host, false); again != first {
		t.Errorf("made anew: %+v", again)
	}
	for name, want := range map[string]fs.FileMode{NodeKeyFile: 0o600, NodeCertFile: 0o644} {
		if info := must(os.Stat(filepath.Join(dir, name)))(t); info.Mode().Perm() != want {
			t.Errorf("%s: %o", name, info.Mode().Perm())
		}
	}
	fresh := newTestHost(t, "db1")
	rekeyed := ensure("another host key", "db1", fresh, true)
	if rekeyed.Key != first.Key || !rekeyed.Newer(first) {
		t.Errorf("another host key: %+v after %+v", rekeyed, first)
	}
	renamed := ensure("another name", "db2", fresh, true)
	os.Remove(filepath.Join(dir, NodeKeyFile))
	replaced := ensure("key lost", "db2", fresh, true)
	if replaced.Key == renamed.Key || !replaced.Newer(renamed) {
		t.Errorf("key lost: %+v after %+v", replaced, renamed)
	}
	for _, name := range []string{NodeKeyFile, NodeCertFile} {
		os.WriteFile(filepath.Join(dir, name), []byte("junk"), 0o600)
		ensure(name+" corrupt", "db2", fresh, true)
		if string(read(name+".corrupt")) != "junk" {
			t.Errorf("%s is not set aside", name)
		}
	}
	if _, _, err := EnsureNode(dir, "db2", []byte("PRIVATE"), now); err == nil || strings.Contains(err.Error(), "PRIVATE") {
		t.Errorf("no host key: %v", err)
	}
	if _, _, err := EnsureNode(filepath.Join(dir, "none"), "db2", fresh.key.Private, now); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if _, _, err := EnsureNode(t.TempDir(), "../x", fresh.key.Private, now); err == nil {
		t.Error("no name of a host is accepted")
	}
	entries := must(os.ReadDir(dir))(t)
	if len(entries) != 4 {
		t.Errorf("left behind: %v", entries)
	}
}
