package deploy

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// factsText is host.json of a host whose Envoy has a version.
func factsText(t *testing.T, host, envoy string) string {
	t.Helper()
	text, err := json.Marshal(hostfacts.Facts{
		Schema: hostfacts.Schema, Fleet: "shop", Host: host, Nixmesh: hostfacts.Nixmesh{Protocol: 1, Binary: "/nix/store/x/bin/nixmesh-host"},
		Rollout: hostfacts.Rollout{Confirm: 1, ActivateTimeout: 1, LastResort: "hold"},
		Mesh:    &hostfacts.Mesh{Envoy: &hostfacts.Envoy{Version: envoy}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What hosts will run is read where it was built, else on them; a release of the
// mesh alone is about all that answer, with what they run.
func TestMeshFacts(t *testing.T) {
	w := newWorld()
	w.withAgents(t)
	w.meshDeploy(t, 2, shopMesh(2e9, "api"))
	w.store.files = map[string]string{top("app1", 2): factsText(t, "app1", "here"), top("app1", 3): factsText(t, "app1", "next")}
	w.hosts["app1"].file = factsText(t, "app1", "there")
	w.hosts["db1"].file = factsText(t, "db1", "there")
	w.hosts["db2"].file = factsText(t, "db1", "a lie")
	w.hosts["edge1"].file = "no JSON"

	versions := func(p *Plan, err error) map[string]string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for host, f := range w.MeshFacts(t.Context(), p) {
			found[host] = f.Mesh.Envoy.Version
		}
		return found
	}
	got := versions(w.PlanMesh(t.Context(), wants(2, shopMesh(5e9, "api"))))
	if want := map[string]string{"app1": "here", "db1": "there"}; !maps.Equal(got, want) {
		t.Errorf("of the mesh alone: %v, want %v", got, want)
	}
	hosts := []string{"app1"}
	got = versions(w.Plan(t.Context(), w.want(3, hosts...), PlanOptions{Hosts: hosts, Mesh: wants(3, shopMesh(5e9, "api"))}))
	if want := map[string]string{"app1": "next"}; !maps.Equal(got, want) {
		t.Errorf("of one host: %v, want %v", got, want)
	}
	w.hosts["db1"].down = true
	w.Close() // the connection of before
	got = versions(w.PlanMesh(t.Context(), wants(2, shopMesh(5e9, "api"))))
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, []string{"app1"}) {
		t.Errorf("with a host away: %v", names)
	}
}
