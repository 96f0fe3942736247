package main

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/lab"
	"github.com/nixmesh/nixmesh/spec"
)

// The shop's gateway has a certificate for the names of its routes, which stays,
// and its external is answered by the lab.
func TestLabCertificates(t *testing.T) {
	t.Parallel()
	l := spec.Load("../../hosts/shop", spec.Options{Lab: true})
	if l.Fleet == nil {
		t.Fatal(l.Diagnostics)
	}
	if got := labAnswers(l.Fleet); !slices.Equal(got, []string{"stripe"}) {
		t.Errorf("the lab answers for %q", got)
	}
	certified := labCertified(l.Fleet.Gateways[0])
	if len(certified) != 1 || certified[0].host != "" || !slices.Equal(certified[0].names, []string{"shop.example"}) {
		t.Fatalf("certificates are %+v", certified)
	}
	dir, now := t.TempDir(), time.Now()
	here, err := lab.New(lab.Options{StateDir: dir, Cache: dir})
	if err != nil {
		t.Fatal(err)
	}
	ca, err := here.CA(now)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "lab-ca/public/own.pem")
	keyOf := func(names []string, at time.Time) string {
		t.Helper()
		key, err := labCertificate(ca, file, names, at)
		if err != nil {
			t.Fatal(err)
		}
		chain, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tls.X509KeyPair(chain, []byte(key)); err != nil {
			t.Error(err)
		}
		return key
	}
	first := keyOf(certified[0].names, now)
	if keyOf(certified[0].names, now.Add(time.Hour)) != first {
		t.Error("a second deploy has another certificate")
	}
	if keyOf([]string{"shop.example", "www.shop.example"}, now) == first {
		t.Error("a certificate is kept though another name has come")
	}
}
