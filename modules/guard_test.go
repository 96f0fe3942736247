package modules_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nixmesh/nixmesh/internal/testkit"
)

var update = flag.Bool("update", false, "write what came out as what is wanted")

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; run with -update to accept):\n%s", file, diff)
	}
}

// TestGuard renders the kernel's table; that the build takes it says nft.
func TestGuard(t *testing.T) {
	var got struct {
		Full, Copy, None   string
		RequiredBy, Before []string
		Without            bool
		Refused            []string
	}
	eval(t, "guard.nix", nil, &got)
	golden(t, "testdata/guard.nft", got.Full)
	golden(t, "testdata/guard-copy.nft", got.Copy)
	golden(t, "testdata/guard-none.nft", got.None)
	services := []string{"api@v1.service", "api@v2.service", "redis-shop.service", "nginx.service", "legacy.service", "web.service", "nixmesh-envoy.service"}
	if diff := cmp.Diff(services, got.RequiredBy); diff != "" {
		t.Errorf("required by (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(append(services, "network-pre.target"), got.Before); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	if got.Without {
		t.Error("a host without an agent has a guard")
	}
	const place = "services.nixmesh.instances."
	if diff := cmp.Diff([]string{
		place + `front: nginx.service runs as root, so egress = "declared" cannot hold it; add user = "front" to the service, or egress = "open"`,
		place + `a: a.service has egress = "declared" and runs as nm-a, as a service with egress = "open" does; add user = "a" to the service, or egress = "open"`,
		place + `a: only Envoy may reach the port of a service, and 22 is the host's SSH; give the service another port`,
		place + `calls: on this host calls.service and web1.service of service "web" both run as web, so the calls of one would be the other's; give calls a user of its own: user = "calls"`,
		place + `calls: on this host calls.service and web2.service of service "web" both run as web, so the calls of one would be the other's; give calls a user of its own: user = "calls"`,
		place + `web@v1: on this host web1.service and calls.service of service "calls" both run as web, so the calls of one would be the other's; give calls a user of its own: user = "calls"`,
		place + `web@v2: on this host web2.service and calls.service of service "calls" both run as web, so the calls of one would be the other's; give calls a user of its own: user = "calls"`,
	}, got.Refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
}

// TestGuardIsCheckedAtBuild: what nft does not take is no system.
func TestGuardIsCheckedAtBuild(t *testing.T) {
	for address, want := range map[string]string{"127.64.0.2": "", "127.64.0.2.3": "syntax error"} {
		expr := fmt.Sprintf("import %s { nixpkgs = %s; modules = %s; build = %q; }", absolute(t, "testdata/guard.nix"), absolute(t, "../lab/nixpkgs"), absolute(t, "."), address)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		cmd := testkit.Nix(t, labNix)(ctx, os.Environ(), "nix", "--extra-experimental-features", "nix-command", "build", "--no-link", "--print-build-logs", "--impure", "--expr", expr)
		out, err := cmd.CombinedOutput()
		if (err == nil) != (want == "") || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s", address, err, out)
		}
	}
}
