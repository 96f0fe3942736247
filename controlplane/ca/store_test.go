package ca

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// stores are what has to behave alike.
func stores(t *testing.T) map[string]Store {
	return map[string]Store{"folder": must(OpenDir(filepath.Join(t.TempDir(), "certs")))(t), "memory": &memory{}}
}

func TestStores(t *testing.T) {
	for kind, s := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			if _, err := s.Load("svc-api.v1"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("nothing there: %v", err)
			}
			if err := s.Remove("svc-api.v1"); err != nil {
				t.Errorf("nothing to remove: %v", err)
			}
			for _, content := range []string{"one", "another", ""} {
				if err := s.Save("svc-api.v1", []byte(content)); err != nil {
					t.Fatal(err)
				}
				if got, err := s.Load("svc-api.v1"); string(got) != content || err != nil {
					t.Errorf("%q: %v", got, err)
				}
			}
			if err := s.Save("nodes.v1", []byte("x")); err != nil {
				t.Fatal(err)
			}
			if names, err := s.Names(); !slices.Equal(names, []string{"nodes.v1", "svc-api.v1"}) || err != nil {
				t.Errorf("names %v: %v", names, err)
			}
			if err := s.SetAside("nodes.v1"); err != nil {
				t.Error(err)
			}
			if _, err := s.Load("nodes.v1"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("set aside: %v", err)
			}
			if err := s.Remove("svc-api.v1"); err != nil {
				t.Error(err)
			}
			if _, err := s.Load("svc-api.v1"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("removed: %v", err)
			}
		})
	}
}

func TestDirIsPrivateAndTidy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "certs")
	d := must(OpenDir(path))(t)
	if err := d.Save("svc-api.v1", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{path: 0o700, filepath.Join(path, "svc-api.v1"): 0o600} {
		if info := must(os.Stat(name))(t); info.Mode().Perm() != want {
			t.Errorf("%s: %o", name, info.Mode().Perm())
		}
	}
	os.WriteFile(filepath.Join(path, ".new-123"), []byte("half"), 0o600)
	os.WriteFile(filepath.Join(path, "svc-api.v2"), []byte("newer"), 0o600)
	os.WriteFile(filepath.Join(path, "notes"), []byte("x"), 0o600)
	os.Symlink("/etc/passwd", filepath.Join(path, "svc-web.v1"))
	d = must(OpenDir(path))(t)
	if _, err := os.Stat(filepath.Join(path, ".new-123")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("what a power cut left is still there")
	}
	if names, _ := d.Names(); !slices.Equal(names, []string{"svc-api.v1", "svc-api.v2"}) {
		t.Errorf("names %v", names)
	}
	for _, bad := range []string{"", "../x.v1", "a/b.v1", "svc-api", ".v1", "svc-api.v1.corrupt", strings.Repeat("x", 80) + ".v1"} {
		if err := d.Save(bad, nil); err == nil {
			t.Errorf("%q is written", bad)
		}
	}
	os.Truncate(filepath.Join(path, "svc-api.v2"), maxFile+1)
	if _, err := d.Load("svc-api.v2"); err == nil {
		t.Error("a huge file is read")
	}
	os.Chmod(path, 0o500)
	defer os.Chmod(path, 0o700)
	if os.Geteuid() != 0 {
		if err := d.Save("svc-api.v1", []byte("new")); err == nil {
			t.Error("saved into a folder that cannot be written")
		}
	}
	if got, err := d.Load("svc-api.v1"); string(got) != "secret" || err != nil {
		t.Errorf("the one before: %q, %v", got, err)
	}
}

func TestFileLogIsBounded(t *testing.T) {
	dir := t.TempDir()
	const most = 2000
	log := must(OpenLog(dir, most))(t)
	n := 0
	for range 100 {
		n++
		if err := log.Append(Issued{Time: time.Unix(int64(n), 0).UTC(), Host: "app1", Service: "api"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	var last int64
	for _, name := range []string{logOld, logFile} {
		text := must(os.ReadFile(filepath.Join(dir, name)))(t)
		if len(text) > most {
			t.Errorf("%s has %d bytes", name, len(text))
		}
		for line := range bytes.Lines(text) {
			var i Issued
			if err := json.Unmarshal(line, &i); err != nil || last != 0 && i.Time.Unix() != last+1 {
				t.Fatalf("%s after %d: %v", line, last, err)
			}
			last = i.Time.Unix()
		}
	}
	if last != int64(n) {
		t.Errorf("the last line is %d", last)
	}
}

func TestFileLogAfterAPowerCut(t *testing.T) {
	dir := t.TempDir()
	log := must(OpenLog(dir, 1<<20))(t)
	log.Append(Issued{Host: "app1"})
	log.Close()
	file := filepath.Join(dir, logFile)
	text := must(os.ReadFile(file))(t)
	os.WriteFile(file, text[:len(text)-5], 0o600)
	log = must(OpenLog(dir, 1<<20))(t)
	log.Append(Issued{Host: "app2"})
	log.Close()
	all := strings.Split(strings.TrimSpace(string(must(os.ReadFile(file))(t))), "\n")
	var i Issued
	if err := json.Unmarshal([]byte(all[len(all)-1]), &i); err != nil || i.Host != "app2" || len(all) != 2 {
		t.Errorf("lines %q: %v", all, err)
	}
	if info := must(os.Stat(file))(t); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
}

// An issuer and a keeper on real files, over restarts.
func TestOnDisk(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	d := must(OpenDir(filepath.Join(dir, "certs")))(t)
	h := r.hosts["app1"]
	open := func() *Keeper {
		k := must(NewKeeper(KeeperOptions{Host: "app1", Node: h.node, NodeCert: h.cert, Store: d, Transport: r, Clock: h.clock, Logger: quiet()}))(t)
		k.Configure(r.fleet)
		return k
	}
	k := open()
	for k.step(t.Context()) == 0 {
	}
	first, _ := k.Leaf("api")
	k = open()
	if again, ok := k.Leaf("api"); !ok || !again.Chain[0].Equal(first.Chain[0]) || r.serves(k, "api") != nil {
		t.Error("not the same leaf after a restart")
	}
	if wait := k.step(t.Context()); wait < 28*time.Hour {
		t.Errorf("asks again after %s", wait)
	}
	file := filepath.Join(dir, "certs", "svc-api.v1")
	os.WriteFile(file, []byte("{"), 0o600)
	k = open()
	if _, ok := k.Leaf("api"); ok || !slices.Equal(k.Status().SetAside, []string{"svc-api.v1.corrupt"}) {
		t.Errorf("status %+v", k.Status())
	}
	if _, err := os.Stat(file + aside); err != nil {
		t.Error(err)
	}
	for k.step(t.Context()) == 0 {
	}
	if err := r.serves(k, "api"); err != nil {
		t.Error(err)
	}
}
