package controlplane

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/mesh"
)

// While the host's facts cannot be had the agent goes on with what it has, says
// so for as long as it lasts, and gives nothing up.
func TestFactsAway(t *testing.T) {
	missing := func(m *machine) error { return os.Remove(m.file("host.json")) }
	written := func(content string) func(m *machine) error {
		return func(m *machine) error { return os.WriteFile(m.file("host.json"), []byte(content), 0o600) }
	}
	for what, away := range map[string]func(m *machine) error{
		"missing":    missing,
		"unreadable": written("{"),
		"newer":      written(`{"schema": "nixmesh.host/99"}`),
		"of another": func(m *machine) error {
			b, err := os.ReadFile(m.file("host.json"))
			if err != nil {
				return err
			}
			return written(strings.ReplaceAll(string(b), `"h000"`, `"other"`))(m)
		},
	} {
		t.Run(what, func(t *testing.T) {
			inWholeWorld(t, 2, func(t *testing.T, w *world) {
				m := w.hosts["h000"]
				told := func(when string) {
					t.Helper()
					time.Sleep(5 * time.Second)
					s := m.agent.Status()
					if !problem(s, "host.json") || problem(s, corrupt) {
						t.Errorf("%s: told %+v", when, s.Problems)
					}
				}
				if err := away(m); err != nil {
					t.Fatal(err)
				}
				told("while it runs")
				m.stop()
				m.start()
				told("after a start")
				if missing := w.state("web", "h000", agentapi.EndpointHealthy)(); missing != "" {
					t.Errorf("without facts: %s", missing)
				}
				if s := m.agent.Status(); s.Document == nil || s.Document.Hash != w.document.Hash() || s.Hosts[1].Gossip != agentapi.GossipAlive {
					t.Errorf("after a start: %+v", s)
				}
				if got := w.put("h000", w.sign("anna", w.document, nil)); got.Result != agentapi.ApplyRefused {
					t.Errorf("without operators it takes a document: %+v", got)
				}
				m.writeFacts()
				w.eventually(5*time.Second, func() string {
					for _, p := range m.agent.Status().Problems {
						return p.What
					}
					return ""
				})
				w.document = w.apply("h000")
				w.eventually(30*time.Second, w.whole)
			})
		})
	}
}

// What a host said of its services holds until its facts are there again, and is
// taken back where they do not have it: at once, in the second of its start too.
func TestFactsComeWithout(t *testing.T) {
	for _, after := range []time.Duration{0, 5 * time.Second} {
		inWholeWorld(t, 2, func(t *testing.T, w *world) {
			m := w.hosts["h000"]
			m.stop()
			if err := os.Remove(m.file("host.json")); err != nil {
				t.Fatal(err)
			}
			m.start()
			time.Sleep(after)
			w.placeOnly("web", map[string]bool{"h001": true})
			m.writeFacts()
			w.eventually(10*time.Second, func() (missing string) {
				w.hosts["h001"].agent.live.look(func(c *catalog.Catalog, _ *mesh.Config, _ time.Time) {
					if c.Record("h000", catalog.Key{Kind: catalog.KindService, Name: "web"}) != nil {
						missing = "h000 still says that it runs web"
					}
				})
				return missing
			})
		})
	}
}
