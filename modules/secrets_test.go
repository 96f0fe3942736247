package modules_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// unit is what secrets.nix adds to a systemd unit.
type unit struct {
	After           []string            `json:"after"`
	Wants           []string            `json:"wants"`
	RestartTriggers []string            `json:"restartTriggers"`
	Environment     map[string]string   `json:"environment"`
	Config          map[string][]string `json:"config"`
}

func TestUnitsOfSecrets(t *testing.T) {
	fleet := t.TempDir()
	digest := map[string]string{}
	for _, name := range []string{"db.age", "stripe.age"} {
		if err := os.WriteFile(filepath.Join(fleet, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		digest[name] = fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
	}
	var got struct {
		Units    map[string]unit   `json:"units"`
		Manifest hostfacts.Secrets `json:"manifest"`
		Wrong    []string          `json:"wrong"`
	}
	eval(t, "secrets.nix", map[string]string{"fleet": fleet}, &got)

	api := hostfacts.SecretsDir + "/api@v1"
	unseal := []string{"nixmesh-unseal.service"}
	want := map[string]unit{
		"api@v1": {
			After: unseal, Wants: unseal,
			RestartTriggers: []string{"DATABASE_URL:" + digest["db.age"], "STRIPE_KEY:" + digest["stripe.age"]},
			Environment:     map[string]string{"DATABASE_URL_FILE": "%d/DATABASE_URL", "STRIPE_KEY_FILE": "%d/STRIPE_KEY", "TOKEN_FILE": "%d/TOKEN"},
			Config: map[string][]string{
				"LoadCredential":  {"DATABASE_URL:" + api + "/DATABASE_URL", "STRIPE_KEY:" + api + "/STRIPE_KEY", "TOKEN:/run/keys/token"},
				"EnvironmentFile": {api + ".env"},
			},
		},
		"web": {
			After: []string{}, Wants: []string{}, RestartTriggers: []string{},
			Environment: map[string]string{"TOKEN_FILE": "%d/TOKEN"},
			Config:      map[string][]string{"LoadCredential": {"TOKEN:/run/keys/token"}},
		},
		"plain": {After: []string{}, Wants: []string{}, RestartTriggers: []string{}, Environment: map[string]string{}, Config: map[string][]string{}},
		"legacy": {
			After: unseal, Wants: unseal,
			RestartTriggers: []string{"STRIPE_KEY:" + digest["stripe.age"]},
			Environment:     map[string]string{"STRIPE_KEY_FILE": "%d/STRIPE_KEY"},
			Config:          map[string][]string{"LoadCredential": {"OWN:/etc/own", "STRIPE_KEY:" + hostfacts.SecretsDir + "/foreign/STRIPE_KEY"}},
		},
	}
	if diff := cmp.Diff(want, got.Units); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
	for i, s := range got.Manifest.Secrets {
		if !strings.HasPrefix(s.Ciphertext, "/nix/store/") {
			t.Errorf("%s is at %s", s.File, s.Ciphertext)
		}
		got.Manifest.Secrets[i].Ciphertext = ""
	}
	manifest := hostfacts.Secrets{
		Schema: hostfacts.SecretsSchema, Identity: "/etc/ssh/ssh_host_ed25519_key",
		Secrets: []hostfacts.Secret{
			{File: "api@v1/DATABASE_URL", Source: "db.age"},
			{File: "api@v1/STRIPE_KEY", Source: "stripe.age"},
			{File: "foreign/STRIPE_KEY", Source: "stripe.age"},
		},
		Environment: []hostfacts.SecretEnvironment{
			{File: "api@v1.env", Variables: map[string]string{"DATABASE_URL": api + "/DATABASE_URL", "TOKEN": "/run/keys/token"}},
		},
	}
	if diff := cmp.Diff(manifest, got.Manifest); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
	wrong := []string{
		`nixmesh.hcl:7 (service "web"): secret BOTH needs exactly one of an age file and a path`,
		`nixmesh.hcl:7 (service "web"): secret NONE needs exactly one of an age file and a path`,
	}
	if diff := cmp.Diff(wrong, got.Wrong); diff != "" {
		t.Errorf("assertions (-want +got):\n%s", diff)
	}
}
