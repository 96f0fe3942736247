package modules_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// agentHost is what a host's configuration says of its agent.
type agentHost struct {
	Services, Sockets, Paths, Users, Deploy []string
	Secrets                                 []hostfacts.Secret
	Facts                                   struct {
		Units []hostfacts.Unit
		Mesh  *hostfacts.Mesh
	}
}

func TestAgent(t *testing.T) {
	fleet := t.TempDir()
	if err := os.WriteFile(filepath.Join(fleet, "gossip.age"), []byte("sealed"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Agent, Measured, None agentHost
		Root                  []string
		Environment           map[string]string
		Credentials           []string
		Triggers              []string
		Nodekey               string
	}
	eval(t, "agent.nix", map[string]string{"fleet": fleet}, &got)

	for _, h := range []*agentHost{&got.Agent, &got.Measured} {
		for i, s := range h.Secrets {
			if !strings.HasPrefix(s.Ciphertext, "/nix/store/") {
				t.Errorf("%s is at %s", s.File, s.Ciphertext)
			}
			h.Secrets[i].Ciphertext = ""
		}
	}
	none := agentHost{Services: []string{}, Sockets: []string{}, Paths: []string{}, Users: []string{}, Deploy: []string{}, Secrets: []hostfacts.Secret{}}
	none.Facts.Units = []hostfacts.Unit{}
	if diff := cmp.Diff(none, got.None); diff != "" {
		t.Errorf("without a CA (-want +got):\n%s", diff)
	}
	want := agentHost{
		Services: []string{"nixmesh-agent", "nixmesh-gossip-key", "nixmesh-hostkey", "nixmesh-nodekey"}, Sockets: []string{"nixmesh-agent"}, Paths: []string{"nixmesh-hostkey"},
		Users: []string{"nixmesh-agent"}, Deploy: []string{"nixmesh"}, Secrets: []hostfacts.Secret{{File: "nixmesh-agent/gossip.key", Source: "gossip.age"}},
	}
	want.Facts.Units = []hostfacts.Unit{{Name: "nixmesh-agent.service"}, {Name: hostfacts.EnvoyUnit}, {Name: "nixmesh-guard.service"}, {Name: "nixmesh-guard-watch.service"}}
	want.Facts.Mesh = &hostfacts.Mesh{Roots: "roots of the CA\n", Envoy: got.Agent.Facts.Mesh.Envoy} // TestEnvoy has that
	if diff := cmp.Diff(want, got.Agent); diff != "" {
		t.Errorf("with a CA (-want +got):\n%s", diff)
	}
	want.Facts.Mesh.Metrics = true
	if diff := cmp.Diff(want, got.Measured); diff != "" {
		t.Errorf("with metrics (-want +got):\n%s", diff)
	}
	if len(got.Root) != 0 {
		t.Errorf("root is in %q", got.Root)
	}
	if diff := cmp.Diff(map[string]string{"GOMEMLIMIT": "192MiB"}, got.Environment); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"node.key:/var/lib/nixmesh/node/node.key", "node.cert:/var/lib/nixmesh/node/node.cert",
		"gossip.key:" + hostfacts.SecretsDir + "/nixmesh-agent/gossip.key",
	}, got.Credentials); diff != "" {
		t.Errorf("credentials (-want +got):\n%s", diff)
	}
	if want := []string{"c9d0036bed6744bcdf692fc980d8717d7e5f5a4f4e8266b4a84982602fb1cd09"}; !cmp.Equal(want, got.Triggers) {
		t.Errorf("another gossip key is noticed by %q, want %q", got.Triggers, want)
	}
	if _, args, _ := strings.Cut(got.Nodekey, "/bin/"); args != "nixmesh host nodekey --dir /var/lib/nixmesh/node --host app1 --host-key /etc/ssh/ssh_host_ed25519_key" {
		t.Errorf("the node key is made by %s", got.Nodekey)
	}
}
