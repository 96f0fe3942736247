package deploy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/trust"
)

// What a plan says of the CA over the years of a root and an intermediate, and
// when a deploy does not go on.
func TestPlanOfTheCA(t *testing.T) {
	const day = 24 * time.Hour
	f := newCAFleet(t, "db1", "db2", "db3")
	f.agents["db3"].away = errors.New("no route to host")
	f.d.RenewAuthorities(t.Context(), RenewOptions{Hosts: []string{"db1"}})
	root := strings.TrimSuffix(strings.TrimPrefix(trust.CAName(f.root.Certificate), "shop CA ("), ")")
	made := f.now
	for _, c := range []struct {
		after time.Duration
		want  string // lines
		exit  Exit
		due   string
	}{
		{0, "authority db2 has no intermediate yet: a deploy by anna signs one", ExitDone, "db2"},
		{195 * day, "CA intermediate of db1: 170 d left, a deploy by anna renews it\n" +
			"authority db2 has no intermediate yet: a deploy by anna signs one", ExitDone, "db1 db2"},
		{352 * day, "CA intermediate of db1: 13 d left, a deploy by anna renews it\n" +
			"authority db2 has no intermediate yet: a deploy by anna signs one\n" +
			"refused: the CA's intermediate of db1 has 13 d left\n" +
			"         next: nixmesh ca renew   by anna; or nixmesh deploy --accept expiring-ca", ExitRefused, "db1 db2"},
		{367 * day, "CA intermediate of db1: ended 2 d ago, a deploy by anna renews it\n" +
			"authority db2 has no intermediate yet: a deploy by anna signs one\n" +
			"refused: the CA's intermediate of db1 ended 2 d ago\n" +
			"         next: nixmesh ca renew   by anna; or nixmesh deploy --accept expiring-ca", ExitRefused, "db1 db2"},
		{3640 * day, "shop CA (" + root + ") has 10 d left\n" +
			"CA intermediate of db1: ended 3275 d ago, a deploy by anna renews it\n" +
			"authority db2 has no intermediate yet: a deploy by anna signs one\n" +
			"refused: shop CA (" + root + ") has 10 d left, and every certificate ends with it\n" +
			"         next: nixmesh deploy --accept expiring-ca   goes on all the same", ExitRefused, "db1 db2"},
	} {
		f.now = made.Add(c.after)
		p := &Plan{CA: f.d.planCA(t.Context(), nil, nil)}
		if got := strings.Join(p.CA.lines(f.now, p.switches), "\n"); got != c.want {
			t.Errorf("after %s:\n%s\nwant\n%s", c.after, got, c.want)
		}
		if got := strings.Join(p.CA.due(), " "); got != c.due || p.Exit() != c.exit {
			t.Errorf("after %s: due %q, exit %d", c.after, got, p.Exit())
		}
		if p := f.d.planCA(t.Context(), []string{RiskExpiringCA}, nil); p.Problem != nil {
			t.Errorf("after %s, accepted: %v", c.after, p.Problem)
		}
		if db3 := p.CA.Authorities[2]; db3.Error != "no route to host" || db3.Due != "" {
			t.Errorf("db3: %+v", db3)
		}
	}
	f.agents["db3"].away = fmt.Errorf("db3: %w", ErrNoAgent)
	f.now = made
	f.d.RenewAuthorities(t.Context(), RenewOptions{Hosts: []string{"db2"}})
	p := &Plan{CA: f.d.planCA(t.Context(), nil, nil)}
	if got := strings.Join(p.CA.lines(f.now, p.switches), "\n"); got != "authority db3: no agent runs there, so what it has is not known" {
		t.Errorf("a host whose agent is stopped: %q", got)
	}
	first := func(string) bool { return true }
	if got := strings.Join(p.CA.lines(f.now, first), "\n"); got != "authority db3 has no intermediate yet: a deploy by anna signs one" || len(p.CA.due()) > 0 || p.Signs() {
		t.Errorf("without an agent: %s, signs %t", got, p.Signs())
	}
	if p.Waves = []Wave{{Hosts: []string{"app1", "db3"}}}; !p.Signs() {
		t.Error("the deploy that brings the agent signs nothing")
	}
	f.d.CA = nil
	if p := f.d.planCA(t.Context(), nil, nil); p != nil || p.due() != nil || p.lines(f.now, nil) != nil {
		t.Errorf("without a CA: %+v", p)
	}
}
