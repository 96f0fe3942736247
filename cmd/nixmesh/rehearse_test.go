package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/internal/testkit/envoytest"
	"github.com/nixmesh/nixmesh/mesh"
)

// callerFacts are those of a host whose web calls api.
func callerFacts(t *testing.T, host string) *hostfacts.Facts {
	t.Helper()
	root, err := os.ReadFile("../../controlplane/xds/testdata/root.pem")
	if err != nil {
		t.Fatal(err)
	}
	return &hostfacts.Facts{Host: host, Mesh: &hostfacts.Mesh{Roots: string(root)}, Edges: []hostfacts.Edge{{
		Caller: "web", User: "nm-web", UID: 32000, Upstream: "api", Protocol: "http", Address: "127.64.0.1", Ports: []int{80}, EdgePort: 15900}}}
}

// What a real Envoy would refuse ends a command with the line of the spec, once
// for each host; what it takes says nothing, and one that was not asked a line.
func TestTryOut(t *testing.T) {
	f := placed()
	f.app = &app{getenv: os.Getenv}
	envoy := envoytest.Binary(t)
	t.Setenv("PATH", t.TempDir())
	shop := func() *mesh.Config {
		c := configOf(t, "../../hosts/shop")
		c.TrustDomain = "shop-3fa9c1d2.nixmesh" // the spec has none before there is a CA
		return c
	}
	good, bad := shop(), shop()
	// The spec takes it, and the program that Envoy makes of it is too large.
	bad.Services["api"].Routes = []mesh.Route{{Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathRegex, Text: "/" + strings.Repeat(`\pL{1000}`, 3)}}}}
	for _, c := range []struct {
		name, envoy string
		hosts       []string
		config      *mesh.Config
		note        string
		refused     []string
	}{
		{"what will work", envoy, []string{"app1", "app2"}, good, "", nil},
		{"what Envoy refuses", envoy, []string{"app1", "app2"}, bad, "", []string{"(on app1)", "(on app2)"}},
		{"nobody to ask", "", []string{"app1"}, bad, "what hosts' Envoys are told was not tried on an Envoy: none on PATH, and NIXMESH_ENVOY names none", nil},
		{"no host that could have one", envoy, nil, bad, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("NIXMESH_ENVOY", c.envoy)
			facts := map[string]*hostfacts.Facts{"old": {Host: "old"}}
			for _, host := range c.hosts {
				facts[host] = callerFacts(t, host)
			}
			note, err := f.tryOut(t.Context(), facts, c.config)
			if note != c.note {
				t.Errorf("note %q, want %q", note, c.note)
			}
			if len(c.refused) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var exit *exitError
			if !errors.As(err, &exit) || exit.code != exitInvalid {
				t.Fatalf("got %v, want exit %d", err, exitInvalid)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != 1+len(c.refused) || !strings.Contains(lines[0], "nothing was changed") {
				t.Fatalf("it says\n%s", err)
			}
			for i, line := range lines[1:] {
				if !strings.HasPrefix(line, "nixmesh.hcl:20: ") || !strings.HasSuffix(line, c.refused[i]) {
					t.Errorf("line %d: %s", i, line)
				}
			}
		})
	}
}

// An Envoy that is older than those of hosts is not believed: passed over where it
// only is on PATH, refused where it is named.
func TestEnvoyAtHand(t *testing.T) {
	f := placed()
	f.app = &app{getenv: os.Getenv}
	for _, c := range []struct {
		name, script string
		says         string // "" = it is believed
	}{
		{"too old", `echo "envoy  version: 816188b86a0a52095b116b107f576324082c7c02/1.36.4/Clean/RELEASE/BoringSSL"`, "is Envoy 1.36, and hosts have 1.37 or newer"},
		{"just new enough", `echo "envoy  version: 816188b86a0a52095b116b107f576324082c7c02/1.37.0/Clean/RELEASE/BoringSSL"`, ""},
		{"of another century", `echo "envoy  version: 816188b86a0a52095b116b107f576324082c7c02/2.0.0-dev/Modified/DEBUG/BoringSSL"`, ""},
		{"something else", `echo "usage: envoy FILE"`, "does not tell its version"},
		{"broken", `exit 127`, "--version: exit status 127"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			program := filepath.Join(dir, "envoy")
			if err := os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\n%s\n", c.script), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", dir)
			t.Setenv("NIXMESH_ENVOY", "")
			path, why, err := f.envoy(t.Context())
			switch {
			case err != nil:
				t.Error(err)
			case c.says == "" && (path != program || why != ""):
				t.Errorf("on PATH: %q, %q", path, why)
			case c.says != "" && (path != "" || !strings.Contains(why, c.says) || strings.Contains(why, "\n")):
				t.Errorf("on PATH: %q, %q; want %q", path, why, c.says)
			}
			t.Setenv("NIXMESH_ENVOY", program)
			path, _, err = f.envoy(t.Context())
			switch {
			case c.says == "" && (path != program || err != nil):
				t.Errorf("named: %q, %v", path, err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "NIXMESH_ENVOY: ")):
				t.Errorf("named: %q, %v; want %q", path, err, c.says)
			}
		})
	}
}
