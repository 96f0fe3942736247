package xds

import (
	"bytes"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// certified is a gateway for hosts with one certificate in a file, nil = there is
// none. host is the name that the facts have it for.
func certified(t *testing.T, source, host string, file []byte, hosts ...string) *Input {
	t.Helper()
	const path = "/run/nixmesh/secrets/current/gateway.public/own.pem"
	var routes []mesh.GatewayRoute
	for _, name := range hosts {
		routes = append(routes, mesh.GatewayRoute{Host: name, Rule: prefix("/"), Targets: []mesh.Target{to("web", "", 100)}})
	}
	in := input(t, outside(gatewayOf(source, httpAndHTTPS(), routes...)))
	in.Facts.Mesh.Gateways = []hostfacts.Gateway{{Name: "public", Certificates: []hostfacts.CertificateFiles{{Host: host, Chain: path, Key: path}}}}
	in.File = func(asked string) ([]byte, error) {
		if file == nil || asked != path {
			return nil, errors.New("it is not there")
		}
		return file, nil
	}
	return in
}

func together(leaf Leaf) []byte { return slices.Concat(leaf.Chain, leaf.Key) }

// serves holds that the gateway has a certificate.
func serves(t *testing.T, out *Output, want Leaf) {
	t.Helper()
	secret, err := NewResource(Secret, "gw:public", certificateSecret("gw:public", want), About{Gateway: "public"})
	if err != nil {
		t.Fatal(err)
	}
	if got := find(out, secret.Key); got == nil || got.Version != secret.Version {
		t.Error("another certificate is served")
	}
}

// says holds what is said of the gateway, and how bad that is.
func says(t *testing.T, out *Output, level Level, text string) {
	t.Helper()
	var said string
	for _, p := range out.Problems {
		if p.About.Gateway == "public" {
			said += p.Text
			if p.Level != level {
				t.Errorf("%q is of level %d", p.Text, p.Level)
			}
		}
	}
	if said != text {
		t.Errorf("it says %q, want %q", said, text)
	}
}

func find(out *Output, key Key) *Resource {
	for _, r := range out.Resources {
		if r.Key == key {
			return r
		}
	}
	return nil
}

// A file that cannot be used, or is good for fewer, does not replace the good
// certificate before: until that ends, or the file is good again.
func TestGatewayCertificateIsKept(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	now := time.Now()
	day := func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 MST") }
	first := ca.server(now.Add(time.Hour), "a.example", "b.example")
	second, narrow := ca.server(now.Add(2*time.Hour), "a.example", "b.example"), ca.server(now.Add(2*time.Hour), "a.example")
	wide, old := ca.server(now.Add(2*time.Hour), "*.example", "c.example"), ca.server(now.Add(-time.Minute), "a.example", "b.example")
	own := Leaf{Chain: []byte("chain of public"), Key: []byte("key of public")}
	kept := "it is served with the certificate from before, which ends on " + day(now.Add(time.Hour)) + ", since that of certs/shop.pem cannot be used: "
	standin := "it is served with a certificate of the mesh's CA: that of certs/shop.pem cannot be used: "
	const torn = "the certificate and the key are damaged, or not of each other; deploy a good one"
	for _, test := range []struct {
		name  string
		file  []byte
		later time.Duration // than the build that had the first one
		want  Leaf
		level Level
		says  string
	}{
		{"renewed", together(second), 0, second, 0, ""},
		{"for other names, which are as many", together(wide), 0, wide, 0, ""},
		{"another's key", slices.Concat(second.Chain, first.Key), 0, first, Standin, kept + torn},
		{"words", []byte("hunter2"), 0, first, Standin, kept + "there is no certificate in its file; deploy a good one"},
		{"gone", nil, 0, first, Standin, kept + "its file cannot be read; see nixmesh-unseal.service on the host"},
		{"one that ended", together(old), 0, first, Standin, kept + "it ended on " + day(now.Add(-time.Minute)) + "; deploy a good one"},
		{"for fewer names", together(narrow), 0, first, Standin, kept + "it is not for b.example; deploy a good one"},
		{"for fewer names, when the first has ended", together(narrow), 90 * time.Minute, narrow, Missing, "clients refuse the certificate of b.example: it is not for that name; deploy another"},
		{"words, when the first has ended", []byte("hunter2"), 90 * time.Minute, own, Standin, standin + "there is no certificate in its file; deploy a good one"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			at := func(later time.Duration, file []byte, kept map[string]Kept) *Output {
				in := certified(t, mesh.CertFile, "", file, "a.example", "b.example")
				in.Config.Gateways["public"].Certificate.File = "certs/shop.pem"
				in.Now, in.Kept = now.Add(later), kept
				return Build(in)
			}
			out := at(0, together(first), nil)
			serves(t, out, first)
			for range 2 { // what is kept stays kept
				out = at(test.later, test.file, out.Kept)
				serves(t, out, test.want)
				says(t, out, test.level, test.says)
			}
			out = at(test.later, together(second), out.Kept)
			serves(t, out, second)
			says(t, out, 0, "")
		})
	}
}

// What is read of a file is a certificate and its key, each without the other, or
// an error that holds nothing of the file.
func FuzzReadPair(f *testing.F) {
	ca := newAuthority(&testing.T{})
	good, other := ca.server(time.Now().Add(time.Hour), "shop.example"), ca.server(time.Now().Add(time.Hour), "shop.example")
	f.Add(slices.Concat(good.Chain, good.Key), []byte(nil))
	f.Add(slices.Concat(good.Key, good.Chain, ca.pem), []byte(nil))
	f.Add(good.Chain, good.Key)
	f.Add(good.Chain, other.Key)
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"), []byte("hunter2"))
	f.Fuzz(func(t *testing.T, chain, key []byte) {
		if key == nil {
			key = chain
		}
		leaf, _, err := readPair(chain, key)
		if err != nil {
			for _, line := range bytes.Split(slices.Concat(chain, key), []byte("\n")) {
				if len(line) > 16 && strings.Contains(err.Error(), string(line)) {
					t.Errorf("the error shows the file: %v", err)
				}
			}
			return
		}
		if bytes.Contains(leaf.Chain, []byte("PRIVATE KEY")) || bytes.Contains(leaf.Key, []byte("CERTIFICATE")) {
			t.Error("a part of the key is with the certificate, or the other way round")
		}
		if _, err := tls.X509KeyPair(leaf.Chain, leaf.Key); err != nil {
			t.Errorf("what is read cannot be read again: %v", err)
		}
	})
}
