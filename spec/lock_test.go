package spec

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const testKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINRu38q/QgCaVk/IrsdZG8pOsCkTgnvQqZb8fRbZm95h"

// fleetWith is a fleet of package services with one listen each.
func fleetWith(services ...string) *Fleet {
	f := &Fleet{}
	for _, name := range services {
		s := &Service{Name: name, Package: &Package{Attr: name}, Listens: []*Listen{{Protocol: "http"}}}
		f.Services = append(f.Services, s)
	}
	return f
}

func mustParseLock(t interface{ Fatalf(string, ...any) }, text []byte) *Lock {
	l, d := parseLock(text)
	if len(d) > 0 {
		t.Fatalf("parse lock: %v", d)
	}
	return l
}

// lockIs compares a lock's lines, the header left out.
func lockIs(t *testing.T, l *Lock, lines ...string) {
	t.Helper()
	want := strings.Join(append(append([]string{lockHeader}, lines...), ""), "\n")
	if got := string(l.Bytes()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestLockAllocate(t *testing.T) {
	l := mustParseLock(t, nil)
	l.SetHostKey("app1", testKey+" root@app1")
	if changed, d := l.Allocate(fleetWith("web", "api")); !changed || len(d) > 0 {
		t.Fatal(changed, d)
	}
	lockIs(t, l, "addr api 127.64.0.1", "addr web 127.64.0.2", "hostkey app1 "+testKey, "port api 20000", "port web 20001", "uid nm-api 32000", "uid nm-web 32001")
	if changed, _ := l.Allocate(fleetWith("web", "api")); changed {
		t.Error("the same fleet changed the lock")
	}
	l.Allocate(fleetWith("api", "cron"))
	lockIs(t, l, "addr api 127.64.0.1", "addr cron 127.64.0.3", "gone addr web 127.64.0.2", "gone port web 20001", "gone uid nm-web 32001",
		"hostkey app1 "+testKey, "port api 20000", "port cron 20002", "uid nm-api 32000", "uid nm-cron 32002")
	l.Allocate(fleetWith("api", "cron", "web"))
	if l.Port("web", "", "", 1) != 20001 || l.UID("nm-web") != 32001 || l.Addr("web") != "127.64.0.2" {
		t.Errorf("web came back with %d, %d and %s", l.Port("web", "", "", 1), l.UID("nm-web"), l.Addr("web"))
	}
	l.Allocate(fleetWith("api", "cron"))
	if n := l.Prune(); n != 3 {
		t.Errorf("pruned %d", n)
	}
	l.Allocate(fleetWith("api", "cron", "db"))
	if l.Port("db", "", "", 1) != 20001 || l.Port("cron", "", "", 1) != 20002 {
		t.Errorf("db got %d, cron has %d", l.Port("db", "", "", 1), l.Port("cron", "", "", 1))
	}
}

// TestLockKinds holds which numbers a fleet needs: one port for each version,
// listen and instance that has none of its own, one user for all versions, an
// address for whatever can be called, a port for each edge.
func TestLockKinds(t *testing.T) {
	f := &Fleet{
		Services: []*Service{
			{
				Name: "api", Instances: 2, Versions: []*Version{{Name: "v1", Package: &Package{}}, {Name: "v2", Package: &Package{}, Port: 8080}},
				Listens:   []*Listen{{Protocol: "http", Name: "main"}, {Protocol: "http", Name: "admin"}},
				Upstreams: []*Upstream{{Name: "postgres"}, {Name: "stripe"}},
			},
			{Name: "cron", Package: &Package{}, Upstreams: []*Upstream{{Name: "api"}}},
			{Name: "postgres", Unit: "postgresql.service", User: "postgres", Listens: []*Listen{{Protocol: "tcp", Port: 5432}}},
			{Name: "standby", Unit: "standby.service", User: "postgres"},
			{Name: "web", Package: &Package{}, Listens: []*Listen{{Protocol: "http"}}, Upstreams: []*Upstream{{Name: "api", Listen: "admin"}}},
		},
		Externals: []*External{{Name: "stripe"}},
	}
	l := mustParseLock(t, nil)
	if _, d := l.Allocate(f); len(d) > 0 {
		t.Fatal(d)
	}
	lockIs(t, l,
		"addr api 127.64.0.1", "addr postgres 127.64.0.2", "addr stripe 127.64.0.3", "addr web 127.64.0.4",
		"edge api postgres 15900", "edge api stripe 15901", "edge cron api:main 15902", "edge web api:admin 15903",
		"port api@v1:admin 20000", "port api@v1:admin/2 20001", "port api@v1:main 20002", "port api@v1:main/2 20003",
		"port api@v2:admin 20004", "port api@v2:admin/2 20005", "port web 20006",
		"uid nm-api 32000", "uid nm-cron 32001", "uid nm-web 32002", "uid postgres 32003")
	if l.Port("api", "v1", "main", 2) != 20003 || l.Edge("cron", "api", "main") != 15902 || l.Edge("api", "stripe", "") != 15901 || l.Port("api", "v2", "main", 1) != 0 {
		t.Error("a number is not found by its name")
	}
	if l.Authorities() == nil || l.CA() != "" || l.Addr("cron") != "" {
		t.Error("something is there that nobody gave")
	}
}

func TestLockAddresses(t *testing.T) {
	l, names := mustParseLock(t, nil), make([]string, 0, 600)
	for i := range 600 {
		names = append(names, fmt.Sprintf("s%03d", i))
	}
	l.Allocate(fleetWith(names...))
	for name, want := range map[string]string{"s000": "127.64.0.1", "s253": "127.64.0.254", "s254": "127.64.1.1", "s508": "127.64.2.1"} {
		if got := l.Addr(name); got != want {
			t.Errorf("%s has %s, want %s", name, got, want)
		}
	}
}

// TestLockInLab: overrides may need more than the spec does, and never make an
// entry go.
func TestLockInLab(t *testing.T) {
	l := mustParseLock(t, nil)
	l.Allocate(fleetWith("api", "web"))
	lab := fleetWith("api")
	lab.Lab, lab.Services[0].Instances = true, 2
	if changed, _ := l.Allocate(lab); !changed || l.Port("api", "", "", 2) != 20002 {
		t.Error("the lab did not get its second port")
	}
	l.Allocate(fleetWith("api", "web"))
	lockIs(t, l, "addr api 127.64.0.1", "addr web 127.64.0.2", "gone port api/2 20002", "port api 20000", "port web 20001", "uid nm-api 32000", "uid nm-web 32001")
	if changed, _ := l.Allocate(lab); changed || l.Port("api", "", "", 2) != 20002 || l.Stale(lab) != nil {
		t.Error("the lab and the spec do not agree on one text")
	}
}

// TestLockMeshEntries: what ca init writes is kept, and held against the fleet.
func TestLockMeshEntries(t *testing.T) {
	text := "nixmesh-lock 1\naddr web 127.64.0.1\nauthority db1\nauthority db2\nca shop SHA256:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE\ngone addr old 127.64.0.9\nport web 20002\nuid nm-web 32000\n"
	l := mustParseLock(t, []byte(text))
	f := fleetWith("web")
	f.Hosts = []*Host{{Name: "db1"}, {Name: "db2"}}
	if changed, d := l.Allocate(f); changed || len(d) > 0 {
		t.Error(changed, d)
	}
	if got := string(l.Bytes()); got != text || l.CA() != "SHA256:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE" || strings.Join(l.Authorities(), " ") != "db1 db2" {
		t.Errorf("got %s, %v\n%s", l.CA(), l.Authorities(), got)
	}
	f.Hosts = f.Hosts[:1]
	if _, d := l.Allocate(f); len(d) != 1 || d[0].Code != "NM0705" || d[0].Start.Line != 4 || !strings.Contains(d[0].Hint, "nixmesh ca authority remove db2") {
		t.Errorf("got %v", d)
	}
	f.Lab = true
	if d := l.Stray(f); len(d) > 0 {
		t.Errorf("the lab has its own authorities: %v", d)
	}
}

func TestLockUsedUp(t *testing.T) {
	gone, live := lockHeader+"\n", lockHeader+"\n"
	f := &Fleet{}
	for n := 20000; n <= 29999; n++ {
		gone += fmt.Sprintf("gone port s%d %d\n", n, n)
		live += fmt.Sprintf("port s%d %d\n", n, n)
		f.Services = append(f.Services, &Service{Name: fmt.Sprintf("s%d", n), Unit: "x.service", Listens: []*Listen{{}}})
	}
	for text, hint := range map[string]string{gone: "nixmesh lock --prune frees what is gone", live: "give listens a fixed port, or split the fleet"} {
		l := mustParseLock(t, []byte(text))
		with := fleetWith("web", "wiki")
		if text == live {
			with.Services = append(f.Services, with.Services...)
		}
		_, d := l.Allocate(with)
		if len(d) != 1 || d[0].Code != "NM0704" || d[0].Hint != hint || !strings.Contains(d[0].Detail, "No port from 20000 to 29999 is free for web.") {
			t.Errorf("got %v", d)
		}
	}
}

// TestLockStale: without a terminal nothing is written, and NM0701 says what.
func TestLockStale(t *testing.T) {
	l := mustParseLock(t, nil)
	f := fleetWith("api", "web")
	f.Services[0].Listens[0].Place = Place{File: "nixmesh.hcl", Line: 7, Block: `service "api"`}
	d := l.Stale(f)
	if len(d) != 1 || d[0].Code != "NM0701" || d[0].Start.Line != 7 || d[0].File != "nixmesh.hcl" ||
		d[0].Detail != `nixmesh.lock has no entry "addr api" yet; 5 more are missing.` || d[0].Hint != "nixmesh lock, then commit nixmesh.lock" {
		t.Errorf("got %+v", d)
	}
	l.Allocate(f)
	if d := l.Stale(f); d != nil {
		t.Errorf("got %v", d)
	}
	d = l.Stale(fleetWith("api"))
	if len(d) != 1 || d[0].File != LockFile || !strings.Contains(d[0].Detail, "3 would change") {
		t.Errorf("got %v", d)
	}
	if d := l.Stale(f); d != nil {
		t.Errorf("asking changed the lock: %v", d)
	}
	untidy := mustParseLock(t, []byte(lockHeader+"\nuid nm-web 32000\nport web 20000\naddr web 127.64.0.1\n"))
	if d := untidy.Stale(fleetWith("web")); len(d) != 1 || !strings.Contains(d[0].Detail, "sorted") {
		t.Errorf("got %v", d)
	}
}

func TestLockWrite(t *testing.T) {
	dir := t.TempDir()
	l, _ := ReadLock(dir)
	l.Allocate(fleetWith("web"))
	if err := l.Write(dir); err != nil {
		t.Fatal(err)
	}
	again, d := ReadLock(dir)
	if len(d) > 0 || again.Stale(fleetWith("web")) != nil {
		t.Errorf("got %v", d)
	}
	if err := os.Remove(filepath.Join(dir, LockFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, LockFile), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, d := ReadLock(dir); len(d) != 1 || d[0].Code != "NM0703" || d[0].Hint == "" {
		t.Errorf("got %v", d)
	}
}
