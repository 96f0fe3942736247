package hostfacts_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/hostfacts"
)

const facts = `{
  "schema": "nixmesh.host/1", "fleet": "shop", "host": "app1", "system": "x86_64-linux", "later": 1,
  "nixmesh": {"version": "0.3.1", "protocol": 1, "binary": "/nix/store/x-nixmesh/bin/nixmesh"},
  "instances": [{"service": "web", "unit": "web.service", "user": "nm-web", "uid": 32000, "listens": []}],
  "units": [{"name": "web.service", "service": "web"}],
  "checks": [{"name": "web", "service": "web", "unit": "web.service", "kind": "http", "address": "127.0.0.1:20002",
    "path": "/healthz", "user": "nm-web", "uid": 32000, "every": "5s", "timeout": "3s", "after": "0s", "rise": 2, "fall": 3}],
  "operators": [{"name": "anna", "ssh": [], "sign": [], "nix_key": "anna-1:x"}],
  "rollout": {"confirm": "1m30s", "settle": "3s", "activate_timeout": "10m0s", "last_resort": "reboot"}
}`

func TestLoad(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "host.json")
	if err := os.WriteFile(file, []byte(facts), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := hostfacts.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if f.Host != "app1" || f.Rollout.Confirm.D().Seconds() != 90 || f.Checks[0].Path != "/healthz" {
		t.Errorf("read %+v", f)
	}
	if _, err := hostfacts.Load(file + ".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file is %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ old, new, want string }{
		{"nixmesh.host/1", "nixmesh.host/2", `its schema is "nixmesh.host/2", written by nixmesh 0.3.1, and this nixmesh reads "nixmesh.host/1"; use that version or a newer one`},
		{`"schema"`, `"scheme"`, "it has no schema, so nixmesh did not write it"},
		{`"http"`, `"ping"`, `check "web": kind "ping" is none of http, tcp, grpc, exec`},
		{"127.0.0.1:20002", "127.0.0.1", `check "web": address "127.0.0.1" is not HOST:PORT`},
		{`"reboot"`, `"pray"`, `rollout.last_resort "pray" is neither reboot nor hold`},
		{`"1m30s"`, `"0s"`, "rollout.confirm is 0s, want more than 0"},
		{`"1m30s"`, `90`, `not JSON of schema nixmesh.host/1: duration 90: want a text such as "90s"`},
		{"/nix/store/x-nixmesh", "nix", `nixmesh.binary "nix/bin/nixmesh" is not an absolute path`},
	} {
		_, err := hostfacts.Parse([]byte(strings.ReplaceAll(facts, test.old, test.new)))
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: got error %v, want %s", test.new, err, test.want)
		}
	}
}

// A helper compares identities with a toplevel of a later version.
func TestLoadIdentityOfALaterSchema(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "host.json")
	later := strings.ReplaceAll(strings.ReplaceAll(facts, "host/1", "host/7"), `"1m30s"`, "90")
	if err := os.WriteFile(file, []byte(later), 0o644); err != nil {
		t.Fatal(err)
	}
	id, err := hostfacts.LoadIdentity(file)
	if err != nil {
		t.Fatal(err)
	}
	if id.Fleet != "shop" || id.Host != "app1" || id.Nixmesh.Protocol != 1 {
		t.Errorf("read %+v", id)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(facts))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = hostfacts.Parse(b) })
}
