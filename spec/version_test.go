package spec

import (
	"maps"
	"slices"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestVariants: each version is complete, whatever it leaves to its service.
func TestVariants(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/check/valid_service.txtar")
	if err != nil {
		t.Fatal(err)
	}
	dir, _ := unpack(t, archive)
	l := Load(dir, Options{})
	if l.Fleet == nil {
		t.Fatal(l.Diagnostics)
	}
	services := map[string]*Service{}
	for _, s := range l.Fleet.Services {
		services[s.Name] = s
	}
	api := services["api"].Variants()
	v1, v2, v3 := api[0], api[1], api[2]
	if v1.Package.Attr != "shop-api-v1" || !slices.Equal(v1.On, []string{"app1", "app2"}) || v1.Env["FLAGS"] != "--quiet" || v1.Exec != services["api"].Exec ||
		!slices.Equal(slices.Sorted(maps.Keys(v1.Secrets)), []string{"DATABASE_URL", "TOKEN"}) {
		t.Errorf("v1: %+v", v1)
	}
	if !slices.Equal(v2.On, []string{"app2"}) || v2.Env["FLAGS"] != "" || v2.Env["LEVEL"] != "info" || v2.Exec.Words[0][0].Text != "bin/api2" ||
		v2.Secrets["STRIPE_KEY"].File != "secrets/stripe.age" || v2.Secrets["TOKEN"].Path != "/run/secrets/api-token" {
		t.Errorf("v2: %+v", v2)
	}
	if len(v3.On) != 0 || v3.RunsOn("app1") || v3.Package.Attr != "shop-api-v3" {
		t.Errorf("v3: %+v", v3)
	}
	if split := services["api"].Split; split["v1"] != 90 || split["v2"] != 10 || split["v3"] != 0 {
		t.Errorf("split: %v", split)
	}
	postgres := services["postgres"]
	if v := postgres.Variants(); v[0].Unit != "postgresql.service" || v[0].Port != 0 || v[1].Port != 5433 || postgres.Packaged() ||
		postgres.Harden != "off" || postgres.Split["v16"] != 100 {
		t.Errorf("postgres: %+v", v)
	}
	nightly := services["nightly"]
	if v := nightly.Variants(); len(v) != 1 || v[0].Name != "" || v[0].Exec != nightly.Exec || nightly.Split != nil || nightly.Schedule == "" ||
		nightly.Restart != "always" || nightly.Egress != "declared" || !nightly.JIT || nightly.Instances != 1 {
		t.Errorf("nightly: %+v", nightly)
	}
}
