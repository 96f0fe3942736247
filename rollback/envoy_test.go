package rollback

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nixmesh/nixmesh/hostfacts"
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

// TestNextEnvoy: what Envoy says of its next file ends a verification at once; an
// Envoy that says nothing, on a busy host say, is asked again and no verdict.
func TestNextEnvoy(t *testing.T) {
	t.Parallel()
	run := func(answer Runner, confirm time.Duration) *Verdict {
		t.Helper()
		s := newSimHost(t)
		for top, bootstrap := range map[string]string{simOld: "/nix/store/a.json", simNew: "/nix/store/b.json"} {
			text, err := json.Marshal(hostfacts.Facts{Schema: hostfacts.Schema, Fleet: "lab", Host: "h1", Nixmesh: hostfacts.Nixmesh{Protocol: 1, Binary: simHelper},
				Mesh: &hostfacts.Mesh{Envoy: &hostfacts.Envoy{Binary: "/nix/store/x/bin/envoy", Version: "1.40.1", Bootstrap: bootstrap}}})
			if err != nil {
				t.Fatal(err)
			}
			s.disk.put(top+hostfacts.Path, string(text))
		}
		h := s.helper()
		h.Clock, h.Run = bootClock{}, answer
		h.Check = func(context.Context, hostfacts.Check) (bool, string) { return true, "" }
		s.disk.names[currentLink] = &simFile{link: simNew}
		verdict, err := h.watch(t.Context(), &Journal{Run: simRun, Old: simOld, New: simNew, Phase: PhaseVerifying,
			Confirm: hostfacts.Duration(confirm), Times: []PhaseTime{{Phase: PhaseVerifying, At: h.Clock.Boot().Seconds()}}})
		if err != nil {
			t.Fatal(err)
		}
		return verdict
	}
	const long = 2 * time.Minute
	fits := func(context.Context, Command) (CommandResult, error) { return CommandResult{}, nil }
	if v := run(fits, long); !v.Good {
		t.Errorf("a file that fits: %s", v.Reason)
	}
	refuses := func(context.Context, Command) (CommandResult, error) {
		return CommandResult{Code: 1, Out: []byte("no such field\n")}, nil
	}
	if v := run(refuses, long); v.Good || v.Reason != "envoy 1.40.1 (/nix/store/x/bin/envoy) does not take /nix/store/b.json: status 1: no such field" {
		t.Errorf("a file that does not fit: %+v", v)
	}
	hangs := func(ctx context.Context, c Command) (CommandResult, error) {
		if !strings.HasSuffix(c.Path, "/envoy") {
			return CommandResult{}, nil
		}
		<-ctx.Done() // as runCommand answers for what it killed
		return CommandResult{Code: -1}, nil
	}
	if v := run(hangs, time.Second); v.Good || !strings.Contains(v.Reason, "has not answered yet") || !strings.HasSuffix(v.Reason, "(not verified within 1s)") {
		t.Errorf("an Envoy that hangs: %+v", v)
	}

	look := &envoyLook{h: &helper{Env: Env{Run: hangs}}, wanted: &hostfacts.Envoy{Binary: "/nix/store/x/bin/envoy"}}
	ended, end := context.WithCancel(t.Context())
	end()
	if look.ask(ended) || look.answered || !strings.Contains(look.condition.answer, "no answer in time") {
		t.Errorf("after a look in vain: %+v", look.condition)
	}
	look.h.Run = fits
	if !look.ask(t.Context()) || !look.condition.ok {
		t.Errorf("asked again: %+v", look.condition)
	}
}
