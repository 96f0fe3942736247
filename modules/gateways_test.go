package modules_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// A key comes to the agent in one file with its certificate.
func TestCertificatesFromFiles(t *testing.T) {
	fleet := t.TempDir()
	for _, name := range []string{"chain.pem", "roots.pem", "key.age", "gossip.age"} {
		if err := os.WriteFile(filepath.Join(fleet, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var got struct {
		Secrets      []hostfacts.Secret `json:"secrets"`
		Mesh         hostfacts.Mesh     `json:"mesh"`
		Capabilities []string           `json:"capabilities"`
		Wrong        []string           `json:"wrong"`
	}
	eval(t, "gateways.nix", map[string]string{"fleet": fleet}, &got)

	stored := func(path *string) {
		if *path != "" && !strings.HasPrefix(*path, "/nix/store/") {
			t.Errorf("%s is not in the store", *path)
		}
		if _, name, ok := strings.Cut(filepath.Base(*path), "-"); ok {
			*path = name
		}
	}
	for i := range got.Secrets {
		stored(&got.Secrets[i].Ciphertext)
		stored(&got.Secrets[i].Public)
	}
	for i := range got.Mesh.Externals {
		stored(&got.Mesh.Externals[i].CA)
	}
	const sealed, public, reader = "nixmesh-secret.age", "nixmesh-certificate.pem", 39998
	secrets := []hostfacts.Secret{
		{Ciphertext: sealed, File: "nixmesh-agent/gossip.key", Source: "gossip.age"},
		{Ciphertext: sealed, File: "gateway.public/_.shop.example.pem", Source: "key.age", Public: public, Reader: reader},
		{Ciphertext: sealed, File: "gateway.public/own.pem", Source: "key.age", Public: public, Reader: reader},
		{Ciphertext: sealed, File: "external.bank/client.pem", Source: "key.age", Public: public, Reader: reader},
	}
	if diff := cmp.Diff(secrets, got.Secrets); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	at := func(file string) string { return hostfacts.SecretsDir + "/" + file }
	mesh := hostfacts.Mesh{
		Roots: "ROOTS",
		Gateways: []hostfacts.Gateway{{Name: "public", Certificates: []hostfacts.CertificateFiles{
			{Chain: at("gateway.public/own.pem"), Key: at("gateway.public/own.pem")},
			{Host: "*.shop.example", Chain: at("gateway.public/_.shop.example.pem"), Key: at("gateway.public/_.shop.example.pem")},
		}}},
		Externals: []hostfacts.External{
			{Name: "bank", CA: "nixmesh-roots.pem", Chain: at("external.bank/client.pem"), Key: at("external.bank/client.pem")},
			{Name: "stripe", CA: "nixmesh-roots.pem"},
		},
	}
	if diff := cmp.Diff(mesh, got.Mesh); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"CAP_DAC_READ_SEARCH", "CAP_CHOWN"}, got.Capabilities); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
	if len(got.Wrong) != 1 {
		t.Errorf("without an agent: %q", got.Wrong)
	}
}
