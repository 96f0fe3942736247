package rollback

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRunningEnvoy(t *testing.T) {
	t.Parallel()
	line := func(words ...string) string { return strings.Join(words, "\x00") + "\x00" }
	for _, c := range []struct {
		cmdline string
		want    *EnvoyState
	}{
		{line("/nix/store/x-envoy-1.40.1/bin/envoy", "--config-path", "/nix/store/y.json", "--concurrency", "2"),
			&EnvoyState{Binary: "/nix/store/x-envoy-1.40.1/bin/envoy", Bootstrap: "/nix/store/y.json"}},
		{line("/nix/store/x-envoy-1.40.1/bin/envoy", "--config-path"), &EnvoyState{Binary: "/nix/store/x-envoy-1.40.1/bin/envoy"}},
		{line("/bin/sh", "/nix/store/z-nixmesh-envoy"), nil}, // on its way to becoming one
		{"", nil},
	} {
		if diff := cmp.Diff(c.want, runningEnvoy(c.cmdline)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.cmdline, diff)
		}
	}
	for path, want := range map[string]string{
		"/nix/store/x-envoy-1.40.1/bin/envoy":     "1.40.1",
		"/nix/store/x-envoy-bin-1.38.2/bin/envoy": "1.38.2",
		"/nix/store/x-my-envoy/bin/envoy":         "",
	} {
		got := ""
		if m := envoyVersion.FindStringSubmatch(path); m != nil {
			got = m[1]
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}
