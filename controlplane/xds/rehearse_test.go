package xds

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/internal/testkit/envoytest"
	"github.com/nixmesh/nixmesh/mesh"
)

func TestRehearse(t *testing.T) {
	web := meshOf(map[string]*mesh.Service{"web": service(on("app1")), "api": service(on("app1", "app2"), mesh.Listen{Protocol: "http"})})
	calls(web, "web", "api")
	for _, c := range []struct {
		name  string
		spoil func(*mesh.Config)
		about About
		says  string
	}{
		{"what will work", func(*mesh.Config) {}, About{}, ""},
		{"what only Envoy sees", func(c *mesh.Config) {
			c.Services["api"].Routes = []mesh.Route{{Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathRegex, Text: "/("}}}}
		}, About{Caller: "web", Edge: "api"}, "missing )"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := meshOf(web.Services)
			config.Edges = web.Edges
			in := outboundInput(t, config)
			calling(in, "web", "api")
			c.spoil(config) // what no spec can say: its own checks know of it
			found, err := Rehearse(t.Context(), envoytest.Binary(t), in.Host, config, in.Facts)
			if err != nil {
				t.Fatal(err)
			}
			if c.says == "" {
				if len(found) > 0 {
					t.Errorf("found %+v", found)
				}
				return
			}
			if len(found) != 1 || found[0].About != c.about || !strings.Contains(found[0].Text, c.says) {
				t.Errorf("found %+v, want one about %+v with %q", found, c.about, c.says)
			}
			for _, p := range found {
				if strings.Contains(p.Text, "PRIVATE KEY") || len(p.Text) > 700 {
					t.Errorf("it tells %d bytes, with a key: %.100s", len(p.Text), p.Text)
				}
			}
		})
	}
}

// Of many edges the one that Envoy refuses is found, whatever it says, in a few
// runs.
func TestRehearseFindsOneOfMany(t *testing.T) {
	services := map[string]*mesh.Service{"web": service(on("app1"))}
	var names []string
	for i := range 50 {
		name := fmt.Sprintf("s%02d", i)
		services[name] = service(on("app2"), mesh.Listen{Protocol: "http"})
		names = append(names, name)
	}
	config := meshOf(services)
	calls(config, "web", names...)
	in := outboundInput(t, config)
	calling(in, "web", names...)
	config.Services["s23"].Routes = []mesh.Route{{Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathRegex, Text: "/("}}}}
	dir := t.TempDir()
	counted := filepath.Join(dir, "envoy")
	script := fmt.Sprintf("#!/bin/sh\necho >> %s/runs\nexec %s \"$@\"\n", dir, envoytest.Binary(t))
	if err := os.WriteFile(counted, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	found, err := Rehearse(t.Context(), counted, in.Host, config, in.Facts)
	if err != nil {
		t.Fatal(err)
	}
	if want := (About{Caller: "web", Edge: "s23"}); len(found) != 1 || found[0].About != want {
		t.Errorf("found %+v, want one about %+v", found, want)
	}
	runs, err := os.ReadFile(filepath.Join(dir, "runs"))
	if err != nil || len(runs) > 10 {
		t.Errorf("it took %d runs of Envoy, %v", len(runs), err)
	}
}
