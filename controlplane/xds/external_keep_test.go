package xds

import (
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// What an external is judged by and shown is kept, too, where its files turn bad.
func TestExternalFilesAreKept(t *testing.T) {
	t.Parallel()
	ca, now := newAuthority(t), time.Now()
	shown := ca.server(now.Add(time.Hour), "client.example")
	build := func(roots, pair []byte, later time.Duration, kept map[string]Kept) *Output {
		c := meshOf(map[string]*mesh.Service{"web": service(on("app1"))})
		c.Externals = map[string]*mesh.External{"bank": {
			Protocol: "http", TLS: tlsOriginate, Hosts: []mesh.Endpoint{{Host: "192.0.2.9", Port: 443}},
			CA: "certs/roots.pem", Cert: "certs/client.pem", ServerName: "bank.example",
		}}
		calls(c, "web", "bank")
		in := input(t, c, runs("web", ""))
		in.Facts.Mesh.Externals = []hostfacts.External{{Name: "bank", CA: "roots", Chain: "pair", Key: "pair"}}
		in.Facts.Edges = []hostfacts.Edge{{Caller: "web", User: "nm-web", UID: 32000, Upstream: "bank", Protocol: "http", Address: "127.64.0.5", Ports: []int{80}, EdgePort: 20000}}
		in.File = func(path string) ([]byte, error) { return map[string][]byte{"roots": roots, "pair": pair}[path], nil }
		in.Now, in.Kept = now.Add(later), kept
		return Build(in)
	}
	texts := func(out *Output) string {
		var all []string
		for _, p := range out.Problems {
			all = append(all, p.Text)
		}
		return strings.Join(all, "\n")
	}
	good := build(ca.pem, together(shown), 0, nil)
	if said := texts(good); said != "" {
		t.Fatalf("good files: %s", said)
	}
	bad := build([]byte("words"), shown.Chain, 0, good.Kept)
	for _, name := range []string{externalSecret("bank"), externalRoots("bank")} {
		key := Key{Secret, name}
		if was, is := find(good, key), find(bad, key); was == nil || is == nil || was.Version != is.Version {
			t.Errorf("%s is another one", name)
		}
	}
	for _, says := range []string{
		"external bank is judged by the roots from before: those of certs/roots.pem cannot be used: there is no certificate in it; deploy a good one",
		"external bank is called with the certificate from before, which ends on " + now.Add(time.Hour).UTC().Format(dayAndTime) + ", since that of certs/client.pem cannot be used: there is no key in clear PEM in the file of its key; deploy a good one",
	} {
		if !strings.Contains(texts(bad), says) {
			t.Errorf("it says %q, want %q", texts(bad), says)
		}
	}
	ended := build([]byte("words"), shown.Chain, 2*time.Hour, bad.Kept)
	if find(ended, Key{Secret, externalSecret("bank")}) != nil || find(ended, Key{Secret, externalRoots("bank")}) != nil {
		t.Error("what has ended is kept")
	}
}
