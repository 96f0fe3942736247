package spec

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const testKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINRu38q/QgCaVk/IrsdZG8pOsCkTgnvQqZb8fRbZm95h"

// fleetWith is a fleet of package services; each name may have ":LISTEN"s.
func fleetWith(services []string) *Fleet {
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

func TestLockAllocate(t *testing.T) {
	l := mustParseLock(t, nil)
	l.SetHostKey("app1", testKey+" root@app1")
	if changed, d := l.Allocate(fleetWith([]string{"web", "api"})); !changed || len(d) > 0 {
		t.Fatal(changed, d)
	}
	want := "nixmesh-lock 1\nhostkey app1 " + testKey + "\nport api 20000\nport web 20001\nuid nm-api 30000\nuid nm-web 30001\n"
	if got := string(l.Bytes()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if changed, _ := l.Allocate(fleetWith([]string{"web", "api"})); changed {
		t.Error("the same fleet changed the lock")
	}
	l.Allocate(fleetWith([]string{"api", "cron"}))
	want = "nixmesh-lock 1\ngone port web 20001\ngone uid nm-web 30001\nhostkey app1 " + testKey +
		"\nport api 20000\nport cron 20002\nuid nm-api 30000\nuid nm-cron 30002\n"
	if got := string(l.Bytes()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	l.Allocate(fleetWith([]string{"api", "cron", "web"}))
	if l.Port("web", "") != 20001 || l.UID("nm-web") != 30001 {
		t.Errorf("web came back with %d and %d", l.Port("web", ""), l.UID("nm-web"))
	}
	l.Allocate(fleetWith([]string{"api", "cron"}))
	if n := l.Prune(); n != 2 {
		t.Errorf("pruned %d", n)
	}
	l.Allocate(fleetWith([]string{"api", "cron", "db"}))
	if l.Port("db", "") != 20001 {
		t.Errorf("db got %d", l.Port("db", ""))
	}
}

func TestLockKeepsLaterKinds(t *testing.T) {
	text := "nixmesh-lock 1\naddr api 127.64.0.1\nauthority db1\nca shop SHA256:x\nedge web api 15903\ngone addr old 127.64.0.9\nport web 20002\nuid nm-web 30000\n"
	l := mustParseLock(t, []byte(text))
	if changed, d := l.Allocate(fleetWith([]string{"web"})); changed || len(d) > 0 {
		t.Error(changed, d)
	}
	if got := string(l.Bytes()); got != text {
		t.Errorf("got\n%s", got)
	}
}

func TestLockUsedUp(t *testing.T) {
	text := lockHeader + "\n"
	for n := 20000; n <= 29999; n++ {
		text += fmt.Sprintf("gone port s%d %d\n", n, n)
	}
	l := mustParseLock(t, []byte(text))
	_, d := l.Allocate(fleetWith([]string{"web"}))
	if len(d) != 1 || d[0].Code != "NM0704" {
		t.Errorf("got %v", d)
	}
}

func TestLockMalformed(t *testing.T) {
	for _, c := range []struct{ line, code string }{
		{"port web 20001", "NM0702"},
		{"gone port old 20000", "NM0702"},
		{"port api 20009", "NM0703"},
		{"port  web 20001", "NM0703"},
		{"port web", "NM0703"},
		{"port web 8080", "NM0703"},
		{"port web 020001", "NM0703"},
		{"uid nm-web 39998", "NM0703"},
		{"prot web 20001", "NM0703"},
		{"hostkey app1 ssh-rsa AAAA", "NM0703"},
		{"<<<<<<< HEAD", "NM0703"},
		{"=======", "NM0703"},
	} {
		text := lockHeader + "\nport api 20000\nport cron 20001\n" + c.line + "\n"
		_, d := parseLock([]byte(text))
		if len(d) != 1 || d[0].Code != c.code || d[0].Start.Line != 4 || d[0].File != LockFile {
			t.Errorf("%q: got %v, want %s", c.line, d, c.code)
		}
	}
	for _, first := range []string{"nixmesh-lock 2", "port web 20000"} {
		_, d := parseLock([]byte(first + "\nport web 20000\n"))
		if len(d) != 1 || d[0].Code != "NM0703" || d[0].Start.Line != 1 {
			t.Errorf("%q: got %v", first, d)
		}
	}
}

func TestRenumber(t *testing.T) {
	dir := t.TempDir()
	l := mustParseLock(t, []byte(lockHeader+"\nport api 20000\n"))
	if err := l.Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(dir+"/"+LockFile, []byte(lockHeader+"\nport api 20000\nport web 20000\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, d := ReadLock(dir)
	if len(d) != 1 || d[0].Code != "NM0702" || d[0].Hint != `nixmesh lock --renumber "port web"` {
		t.Fatalf("got %v", d)
	}
	l, d, err := Renumber(dir, "port web")
	if err != nil || len(d) > 0 || l.Port("web", "") != 20001 || l.Port("api", "") != 20000 {
		t.Errorf("got %v, %v, %v", l, d, err)
	}
	if _, _, err := Renumber(dir, "port wep"); err == nil || !strings.Contains(err.Error(), `did you mean "port web"?`) {
		t.Errorf("got %v", err)
	}
}

// Whatever is added, removed or reordered, every name keeps its number for ever,
// no number is given twice, and the text reads back to the same lock.
func TestLockProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"api", "auth", "billing", "cron", "db", "web", "worker"}
		l, given := mustParseLock(t, nil), map[string]int{}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			subset := rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(t, "services")
			if _, d := l.Allocate(fleetWith(subset)); len(d) > 0 {
				t.Fatal(d)
			}
			seen := map[int]string{}
			for _, e := range l.entries {
				key := e.kind + " " + e.name
				if n, known := given[key]; known && n != e.number {
					t.Fatalf("%s was %d and is %d", key, n, e.number)
				}
				given[key] = e.number
				if other := seen[e.number]; other != "" {
					t.Fatalf("%s and %s have %d", key, other, e.number)
				}
				seen[e.number] = key
				if kept := slices.Contains(subset, strings.TrimPrefix(e.name, "nm-")); kept == e.gone {
					t.Fatalf("%s: gone = %v", key, e.gone)
				}
			}
			text := l.Bytes()
			l = mustParseLock(t, text)
			if !bytes.Equal(l.Bytes(), text) {
				t.Fatalf("does not read back: %s", text)
			}
			other := rapid.Permutation(subset).Draw(t, "reordered")
			if changed, _ := l.Allocate(fleetWith(other)); changed {
				t.Fatal("the order of services changed the lock")
			}
		}
	})
}
