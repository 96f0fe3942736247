package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/agentapi"
)

// newShop boots the reference fleet, a copy of hosts/shop on a network of the
// test's own.
func newShop(t *testing.T) *fleet {
	t.Helper()
	needLab(t)
	f := &fleet{t: t, dir: folder(t), subnet: int(subnets.Add(1)), hosts: []string{"app1", "app2", "db1", "db2", "edge1"}}
	if err := os.CopyFS(f.dir, os.DirFS("../../hosts/shop")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(f.dir, ".nixmesh")); err != nil {
		t.Fatal(err)
	}
	nixpkgs, err := filepath.Abs("../nixpkgs")
	if err != nil {
		t.Fatal(err)
	}
	network := strings.TrimSuffix(f.address(0), ".11")
	for _, file := range []string{"nixmesh.hcl", "lab.hcl"} {
		text, err := os.ReadFile(filepath.Join(f.dir, file))
		if err != nil {
			t.Fatal(err)
		}
		f.file(file, strings.NewReplacer(`"10.0.0.`, `"`+network+".", "path:../../lab/nixpkgs", "path:"+nixpkgs).Replace(string(text)))
	}
	t.Cleanup(func() {
		if t.Failed() && keep() {
			t.Logf("kept: %s (nixmesh lab down -C %s)", f.dir, f.dir)
			return
		}
		f.lab("down").want(t, 0)
	})
	f.lab("up").want(t, 0)
	return f
}

// TestAgentsOfTheShop: after one deploy the five agents of the reference fleet
// agree, and know of every copy of every service that it is healthy.
func TestAgentsOfTheShop(t *testing.T) {
	t.Parallel()
	f := newShop(t)
	f.deploy().want(t, 0)
	f.wantConvened(t)
	for _, host := range f.hosts {
		until(t, host+" knows that all services are healthy", func() bool {
			s := f.agent(host)
			if s == nil || len(s.Services) != 5 || len(s.Pending) > 0 || len(s.Problems) > 0 {
				return false
			}
			for _, service := range s.Services {
				for _, e := range service.Endpoints {
					if e.State != agentapi.EndpointHealthy {
						return false
					}
				}
				if service.Total == 0 || service.Ready != service.Total {
					return false
				}
			}
			return true
		})
	}
	f.eventually(t, 0, []string{"mesh", "status"}, "5 of 5")
}
