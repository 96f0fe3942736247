package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nixmesh/nixmesh/spec"
	"github.com/nixmesh/nixmesh/trust"
)

// TestCAScripts runs the ca commands with keys that are made for it: in keys/,
// and as @NAME@ in the HCL and the lock. No host answers.
func TestCAScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/ca",
		Cmds:  map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits},
		Setup: scriptKeys,
	})
}

// A lock that cannot be written leaves no file of a CA behind.
func TestCAIsMadeWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, spec.LockFile, "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	id, err := trust.GenerateAgeIdentity(filepath.Join(t.TempDir(), "anna.txt"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := trust.NewRoot("shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{app: &app{stderr: t.Output()}, spec: &spec.Fleet{Name: "shop", Dir: dir}, lock: &spec.Lock{}}
	to := recipients{keys: []string{id}}
	if err := f.writeCA(root, to, to); err == nil || !strings.Contains(err.Error(), "nothing was made") {
		t.Errorf("got %v", err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "secrets"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// The root opens for the operators it is for, once, and only if it is the
// fleet's.
func TestTheRootOpensOnce(t *testing.T) {
	dir, keys := t.TempDir(), t.TempDir()
	anna, err := trust.GenerateAgeIdentity(filepath.Join(keys, "anna.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust.GenerateAgeIdentity(filepath.Join(keys, "bert.txt")); err != nil {
		t.Fatal(err)
	}
	root, err := trust.NewRoot("shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	lock := &spec.Lock{}
	if err := lock.SetCA("shop", root.Fingerprint()); err != nil {
		t.Fatal(err)
	}
	lock.AddAuthority("db1")
	f := &fleet{app: &app{stderr: t.Output(), getenv: func(string) string { return "" }}, lock: lock,
		spec: &spec.Fleet{Name: "shop", Dir: dir, CA: spec.CA{IntermediateTTL: time.Hour}, Operators: []*spec.Operator{{Name: "anna", CA: true}, {Name: "bert"}}}}
	to := recipients{keys: []string{anna}}
	if err := f.writeCA(root, to, to); err != nil {
		t.Fatal(err)
	}
	ca, err := f.deployCA()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(ca.Authorities, " ") + " " + strings.Join(ca.Able, " "); got != "db1 anna" || ca.TTL != time.Hour {
		t.Errorf("the CA: %s, %s", got, ca.TTL)
	}
	open := f.rootOnce(ca.Roots, filepath.Join(keys, "anna.txt"))
	if got, err := open(t.Context()); err != nil || got.Fingerprint() != root.Fingerprint() {
		t.Errorf("anna: %v, %v", got, err)
	}
	if err := os.Remove(filepath.Join(keys, "anna.txt")); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t.Context()); err != nil {
		t.Errorf("anna again: %v", err)
	}
	if _, err := f.rootOnce(ca.Roots, filepath.Join(keys, "bert.txt"))(t.Context()); err == nil || !strings.Contains(err.Error(), "secrets/ca-root.age is for other keys than ") {
		t.Errorf("bert: %v", err)
	}
	other, err := trust.NewRoot("shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := trust.NewBundle(other.Domain, other.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	carl, err := trust.GenerateAgeIdentity(filepath.Join(keys, "carl.txt"))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := root.Seal([]string{carl})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, spec.CARootFile), sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.rootOnce(bundle, filepath.Join(keys, "carl.txt"))(t.Context()); err == nil || !strings.Contains(err.Error(), "which is no root of the fleet") {
		t.Errorf("a root of another fleet: %v", err)
	}
	f.spec.Name = "store"
	if _, err := f.deployCA(); err == nil || !strings.Contains(err.Error(), `the CA is of fleet "shop", and the spec's is called "store"`) {
		t.Errorf("renamed: %v", err)
	}
	if err := lock.SetCA("shop", other.Fingerprint()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.deployCA(); err == nil || !strings.Contains(err.Error(), "secrets/ca.pem has other roots than nixmesh.lock names") {
		t.Errorf("another root: %v", err)
	}
}

// A host that came after the gossip key was made cannot open it, and is told so
// when it is trusted.
func TestAgeFilesClosedToAHost(t *testing.T) {
	dir := t.TempDir()
	lock, _ := spec.ReadLock(dir)
	for _, host := range []string{"app1", "app2"} {
		key, err := trust.GenerateSSHKey(host)
		if err != nil {
			t.Fatal(err)
		}
		lock.SetHostKey(host, key.Authorized)
	}
	f := &fleet{app: &app{stderr: t.Output(), getenv: func(string) string { return "" }}, lock: lock,
		spec: &spec.Fleet{Name: "shop", Dir: dir, CA: spec.CA{Root: "SHA256:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE"}, Hosts: []*spec.Host{{Name: "app1"}, {Name: "app2"}}}}
	if got := f.closedTo("app2"); got != nil {
		t.Errorf("without the file: %v", got)
	}
	if err := trust.SealFile(filepath.Join(dir, spec.GossipFile), []byte("x"), []string{lock.HostKey("app1")}); err != nil {
		t.Fatal(err)
	}
	if got := f.closedTo("app1"); got != nil {
		t.Errorf("app1: %v", got)
	}
	if got := f.closedTo("app2"); len(got) != 1 || got[0] != spec.GossipFile {
		t.Errorf("app2: %v", got)
	}
}
