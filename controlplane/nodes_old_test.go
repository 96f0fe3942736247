package controlplane

import (
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/trust"
)

// A host that lost its node key, and made another one while its clock was slow:
// no peer takes it, and it says what to do.
func TestNodeCertOfASlowClock(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		m := w.hosts["h000"]
		m.start()
		w.seed()
		m.stop()
		m.node = must(trust.GenerateNodeKey())(t)
		m.cert = must(trust.NewNodeCert(m.ssh.Signer, m.name, m.node.Public(), nil, time.Now().Add(-time.Hour)))(t)
		problems := m.start().Status().Problems
		if len(problems) != 1 || !strings.Contains(problems[0].What, "of 2000-01-01T00:00:00Z, and this one is of 1999-12-31T23:00:0") ||
			!strings.Contains(problems[0].Next, "rm /var/lib/nixmesh/node/node.cert") {
			t.Errorf("told: %+v", problems)
		}
	})
}
