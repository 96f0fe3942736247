package controlplane

import (
	"slices"
	"strings"
	"testing"
)

// A host that is drained gets no more calls once the others' Envoys said so, and
// takes them again by itself when another Envoy listens.
func TestDrain(t *testing.T) {
	m := newMeshed(t, 3)
	for _, name := range m.names {
		m.startEnvoy(name)
	}
	m.ready()

	agent := m.hosts["h001"].agent
	stop := m.load()
	d, err := agent.BeginDrain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("drained within %.3f s: %+v", d.Took, d)
	if !d.Draining || !slices.Equal(d.Leaving, []string{"api"}) || !slices.Equal(d.Told, []string{"h000", "h002"}) || len(d.Silent) > 0 || d.Active != 0 {
		t.Errorf("drained: %+v", d)
	}
	for range 20 {
		if got := m.call(); got != "200 h002" {
			t.Errorf("a call while h001 is drained: %s", got)
		}
	}
	if _, err := agent.BeginDrain(t.Context()); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("drained twice: %v", err)
	}
	m.stopEnvoy("h001")
	m.startEnvoy("h001")
	m.eventually(testPatience, func() string {
		if d := agent.Drain(); !d.Renewed {
			return "h001 is drained still: " + d.Ended
		}
		return ""
	})
	m.eventually(testPatience, m.whole)
	if n, wrong := stop(); len(wrong) > 0 {
		t.Errorf("of %d calls these went wrong: %v", n, wrong)
	}
}

// What is placed nowhere else stays, since nobody could take its calls.
func TestDrainOfTheOnlyOne(t *testing.T) {
	m := newMeshed(t, 2)
	for _, name := range m.names {
		m.startEnvoy(name)
	}
	m.ready()
	d, err := m.hosts["h001"].agent.BeginDrain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Staying, []string{"api"}) || len(d.Leaving) > 0 {
		t.Errorf("drained: %+v", d)
	}
	if got := m.call(); got != "200 h001" {
		t.Errorf("a call of the only one: %s", got)
	}
}

func TestActiveRequests(t *testing.T) {
	t.Parallel()
	stats := "http.admin.downstream_rq_active: 1\nhttp.in_api.downstream_rq_active: 2\nhttp.out_web_api.downstream_rq_active: 3\nhttp.x.downstream_rq_active: No recorded values\ncluster.x.upstream_rq_active: 9\n"
	if got := activeRequests([]byte(stats)); got != 5 {
		t.Errorf("got %d", got)
	}
}
