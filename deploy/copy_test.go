package deploy

import (
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/nix"
)

// The daemon of a copy carries the mark by which the clean-up finds it, and
// both run as the same user.
func TestCopyIsMarkedAndCleanedUp(t *testing.T) {
	for user, sudo := range map[string]string{"deploy": "", "root": "", "admin": "sudo -n "} {
		w := newWorld()
		h := w.hosts["db1"]
		if user != "deploy" {
			h.noHelper = true
			h.activate = func(h *fakeHost) { h.noHelper = false }
			w.First, w.FirstUser = []string{"db1"}, user
		}
		wantEnds(t, w.mustDeploy(t, 2, "db1"), map[string]End{"db1": EndDeployed})
		if len(h.bridges) != 1 || h.bridges[0] != sudo+nix.DaemonCommand {
			t.Errorf("%s: bridges %q", user, h.bridges)
		}
		cleaned := false
		for _, l := range h.lines {
			cleaned = cleaned || strings.HasPrefix(l, sudo+"sh -c ") && strings.Contains(l, "NIXMESH_COPY")
		}
		if !cleaned {
			t.Errorf("%s: no clean-up in %q", user, h.lines)
		}
	}
}
