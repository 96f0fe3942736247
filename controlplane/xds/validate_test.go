package xds

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/internal/testkit/envoytest"
)

// validate has real Envoys judge what was built, rendered without a server, and holds
// it to what Envoy does not look at.
func validate(t *testing.T, out *Output) {
	t.Helper()
	for _, p := range References(out) {
		t.Error(p.Text)
	}
	needsAreComplete(t, out)
	text, err := Static(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, envoy := range []string{envoytest.Binary(t), envoytest.Oldest(t)} {
		if said := refusal(t, envoy, text); said != "" {
			t.Errorf("%s refuses it: %s", envoy, said)
		}
	}
}

// refusal is what an Envoy has against a bootstrap, "" for nothing.
func refusal(t *testing.T, envoy string, bootstrap []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testPatience)
	defer cancel()
	said, err := exec.CommandContext(ctx, envoy, "--mode", "validate", "-c", file, "-l", "error").CombinedOutput()
	if err == nil {
		return ""
	}
	return strings.TrimSpace(string(said)) + ": " + err.Error()
}

// needsAreComplete demands that a resource says of all that it names that it needs
// it: what is sent first, and what is held back with it, hangs on that.
func needsAreComplete(t *testing.T, out *Output) {
	t.Helper()
	for _, r := range out.Resources {
		needs := map[Key]bool{}
		for _, key := range r.Needs {
			needs[key] = true
		}
		for _, key := range namedBy(t, r) {
			if !needs[key] {
				t.Errorf("%s names %s and does not say that it needs it", r.Name, key.Name)
			}
		}
	}
}
