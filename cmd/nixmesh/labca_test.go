package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/compile"
	"github.com/nixmesh/nixmesh/spec"
)

// A lab's CA is made once, whoever asks first, for its owner alone, and anew
// for a fleet of another name.
func TestLabRoot(t *testing.T) {
	t.Parallel()
	dir, now := filepath.Join(t.TempDir(), "lab"), time.Now()
	var made sync.Map
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			root, err := labRoot(dir, "shop", now)
			if err != nil {
				t.Error(err)
				return
			}
			made.Store(root.Fingerprint(), root.Domain.Fleet())
		})
	}
	all.Wait()
	count := 0
	made.Range(func(_, fleet any) bool { count++; return fleet == "shop" })
	if count != 1 {
		t.Errorf("%d roots were made", count)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("left are %v, %v", files, err)
	}
	if st, err := files[0].Info(); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the root's mode is %v, %v", st.Mode(), err)
	}
	other, err := labRoot(dir, "market", now)
	if _, old := made.Load(other.Fingerprint()); err != nil || old || other.Domain.Fleet() != "market" {
		t.Errorf("another fleet has %s, %v", other, err)
	}
	if err := os.WriteFile(filepath.Join(dir, labRootFile), []byte("cut o"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := labRoot(dir, "market", now); err == nil || !strings.Contains(err.Error(), "delete the file") {
		t.Errorf("a damaged file: %v", err)
	}
}

// The mesh configuration of a lab is of the lab's CA, and the lock is left as
// it is.
func TestLabCA(t *testing.T) {
	t.Parallel()
	l := spec.Load("../../hosts/shop", spec.Options{Lab: true})
	if l.Fleet == nil {
		t.Fatal(l.Diagnostics)
	}
	lock, found := spec.ReadLock(l.Dir)
	if found.HasErrors() {
		t.Fatal(found)
	}
	before := string(lock.Bytes())
	own := *l.Fleet
	own.Dir = t.TempDir()
	f := &fleet{app: &app{now: time.Now}, spec: &own, lock: lock}
	ca, err := f.labCA()
	if err != nil {
		t.Fatal(err)
	}
	if want := spec.ProposeAuthorities(&own); !slices.Equal(ca.Authorities, want) || len(want) == 0 {
		t.Errorf("the authorities are %q, want %q", ca.Authorities, want)
	}
	root, err := f.labRoot()
	if err != nil {
		t.Fatal(err)
	}
	config, err := compile.Mesh(&own, lock, ca)
	if err != nil {
		t.Fatal(err)
	}
	if config.TrustDomain != string(root.Domain) || !slices.Equal(config.CA.Authorities, ca.Authorities) {
		t.Errorf("the mesh is of %s with %q, the CA of %s", config.TrustDomain, config.CA.Authorities, root.Domain)
	}
	if after := string(lock.Bytes()); after != before {
		t.Errorf("the lock became %s", after)
	}
	lock.AddAuthority("db2")
	if ca, err = f.labCA(); err != nil || !slices.Equal(ca.Authorities, []string{"db2"}) {
		t.Errorf("the lock names db2, the lab has %q, %v", ca.Authorities, err)
	}
}
