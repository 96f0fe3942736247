package hostfacts

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSystemdRunArgs(t *testing.T) {
	t.Parallel()
	c := Check{
		Name: "worker#2", User: "nm-worker",
		Env:     map[string]string{"PORT": "20001", "API": "50%"},
		Sandbox: []string{"ProtectSystem=strict", "SystemCallFilter=~@privileged @resources"},
	}
	args := systemdRunArgs(c, "nixmesh-check-worker-2-abc", []string{"/nix/store/x/bin/worker", "ping", "20001"}, 1500*time.Millisecond)
	want := []string{
		"--wait", "--collect", "--pipe", "--quiet", "--expand-environment=no", "--unit=nixmesh-check-worker-2-abc",
		"--property=User=nm-worker", "--property=RuntimeMaxSec=1500ms",
		"--property=TimeoutStopSec=1s", "--property=KillMode=control-group",
		"--property=ProtectSystem=strict", "--property=SystemCallFilter=~@privileged @resources",
		"--setenv=API=50%", "--setenv=PORT=20001",
		"--", "/nix/store/x/bin/worker", "ping", "20001",
	}
	if diff := cmp.Diff(want, args); diff != "" {
		t.Error(diff)
	}
}

// A check finds its service's secrets where its own unit has them, and no
// command line holds one.
func TestSecretsOfACheck(t *testing.T) {
	t.Parallel()
	c := Check{Credentials: []string{"DB:/run/nixmesh/secrets/current/api/DB"}, EnvironmentFile: "/run/nixmesh/secrets/current/api.env", Env: map[string]string{"COST": "5$"}}
	c.Env = withCredentials(c, "nixmesh-check-api-abc")
	argv, err := expand([]string{"/bin/x", "${DB_FILE}", "${DB}", "$$1 ${COST} $"}, c.Env, true)
	if err != nil {
		t.Fatal(err)
	}
	args := systemdRunArgs(c, "nixmesh-check-api-abc", argv, time.Second)
	for _, want := range []string{
		"--expand-environment=yes",
		"--property=LoadCredential=DB:/run/nixmesh/secrets/current/api/DB",
		"--property=EnvironmentFile=/run/nixmesh/secrets/current/api.env",
		"--setenv=CREDENTIALS_DIRECTORY=/run/credentials/nixmesh-check-api-abc.service",
		"--setenv=DB_FILE=/run/credentials/nixmesh-check-api-abc.service/DB",
	} {
		if !slices.Contains(args, want) {
			t.Errorf("no %s in %q", want, args)
		}
	}
	words := []string{"/bin/x", "/run/credentials/nixmesh-check-api-abc.service/DB", "${DB}", "$$1 5$$ $$"}
	if diff := cmp.Diff(words, argv); diff != "" {
		t.Error(diff)
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	got, err := expand([]string{"-p${PORT}", "$$PORT", "a$", "${", "$x"}, map[string]string{"PORT": "20001"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"-p20001", "$PORT", "a$", "${", "$x"}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := expand([]string{"${NO}"}, nil, false); err == nil || err.Error() != "command of the check: variable NO is not set" {
		t.Errorf("got error %v", err)
	}
}

func TestSnippetCutsBetweenRunes(t *testing.T) {
	t.Parallel()
	got := snippet([]byte(strings.Repeat("x", snippetSize-1) + "äöü"))
	if want := strings.Repeat("x", snippetSize-1) + "…"; got != want {
		t.Errorf("got %q", got)
	}
}

func TestHealthStatusOfAnyBytes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"\x00\x00\x00\x00\x00":                     "UNKNOWN",
		"\x00\x00\x00\x00\x02\x08\x01":             "SERVING",
		"\x00\x00\x00\x00\x06\x12\x02ab\x08\x01":   "SERVING",
		"\x00\x00\x00\x00\x02\x08\x09":             "status 9",
		"\x00\x00\x00\x00\x09\x08\x01":             "",
		"\x01\x00\x00\x00\x02\x08\x01":             "",
		"\x00\x00\x00\x00\x02\x12\x7f":             "",
		"<html>":                                   "",
		"\x00\x00\x00\x00\x03\x08\xff\xff":         "",
		"\x00\x00\x00\x00\x05\x0d\x01\x01\x01\x01": "",
	} {
		if got, _ := healthStatus([]byte(in)); got != want {
			t.Errorf("%x: got %q, want %q", in, got, want)
		}
	}
}

func FuzzHealthStatus(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x02\x08\x01"))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = healthStatus(b) })
}
