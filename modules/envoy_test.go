package modules_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/internal/testkit/envoytest"
)

// envoyHost is what a host's configuration says of its Envoy.
type envoyHost struct {
	Bootstrap, Flags string
	Package          string
	Service          map[string][]string
	Restarts         bool
	Agent            struct {
		Requires []string
		Groups   string
	}
	Facts hostfacts.Envoy
	Wrong []string
}

func evalEnvoy(t *testing.T, given string) envoyHost {
	t.Helper()
	var h envoyHost
	eval(t, "envoy.nix", map[string]string{"given": strconv.Quote(given)}, &h)
	return h
}

// about are the assertions that speak of Envoy.
func about(wrong []string) []string {
	return slices.DeleteFunc(wrong, func(text string) bool { return !strings.Contains(text, "nvoy") })
}

func TestEnvoy(t *testing.T) {
	h := evalEnvoy(t, "{}")
	if wrong := about(h.Wrong); len(wrong) != 0 {
		t.Errorf("assertions: %q", wrong)
	}
	if h.Restarts {
		t.Error("a switch restarts Envoy, which nobody told its callers")
	}
	if !slices.Contains(h.Agent.Requires, "nixmesh-agent-xds.socket") || h.Agent.Groups != "nixmesh-envoy" {
		t.Errorf("the agent requires %q and is in %q", h.Agent.Requires, h.Agent.Groups)
	}
	bootstrap := h.Facts.Bootstrap
	h.Facts.Bootstrap = ""
	if diff := cmp.Diff(hostfacts.Envoy{Version: "1.40.0", Binary: h.Package + "/bin/envoy", UID: hostfacts.EnvoyUID, Connections: 12 << 10}, h.Facts); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(bootstrap, "/nix/store/") || !strings.HasSuffix(bootstrap, "-nixmesh-envoy.json") {
		t.Errorf("it starts with %s", bootstrap)
	}
}

// Real Envoys take the file and the flags, without a warning.
func TestEnvoyTakesItsBootstrap(t *testing.T) {
	envoys := []string{envoytest.Binary(t), envoytest.Oldest(t)}
	for _, given := range []string{"{}", `{"memory": 128, "concurrency": 3}`} {
		h := evalEnvoy(t, given)
		file := filepath.Join(t.TempDir(), "nixmesh-envoy.json")
		if err := os.WriteFile(file, []byte(h.Bootstrap), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, envoy := range envoys {
			cmd := exec.CommandContext(t.Context(), "sh", "-c", `exec "$0" --mode validate --config-path "$1" `+h.Flags, envoy, file)
			out, err := cmd.CombinedOutput()
			if err != nil || strings.Contains(string(out), "warning") || strings.Contains(string(out), "deprecated") {
				t.Errorf("%s, %s: %v\n%s", envoy, given, err, out)
			}
		}
	}
}

// What Envoy starts with is another file where the limits or the flags differ, by
// which a deploy sees that it has to be restarted.
func TestAnotherEnvoyBootstrap(t *testing.T) {
	first := evalEnvoy(t, "{}").Facts
	for _, given := range []string{`{"memory": 512}`, `{"concurrency": 3}`} {
		if h := evalEnvoy(t, given); h.Facts.Bootstrap == first.Bootstrap {
			t.Errorf("with %s it is the same file", given)
		}
	}
}

// The sandbox is scored by systemd itself.
func TestEnvoysSandbox(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("no systemd-analyze: ", err)
	}
	h := evalEnvoy(t, "{}")
	if want := []string{"CAP_NET_BIND_SERVICE"}; !cmp.Equal(want, h.Service["CapabilityBoundingSet"]) {
		t.Errorf("capabilities are %q", h.Service["CapabilityBoundingSet"])
	}
	var unit strings.Builder
	unit.WriteString("[Service]\n")
	for key, values := range h.Service {
		for _, value := range values {
			if value == "1" {
				value = "yes" // Nix's true
			}
			if !strings.HasPrefix(key, "Exec") {
				unit.WriteString(key + "=" + value + "\n")
			}
		}
	}
	unit.WriteString("ExecStart=/bin/true\n")
	file := filepath.Join(t.TempDir(), "nixmesh-envoy.service")
	if err := os.WriteFile(file, []byte(unit.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", file).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
