package deploy

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/rollback"
	"github.com/nixmesh/nixmesh/spec"
)

// golden compares text with testdata/NAME.golden; -update writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n--- got\n%s\n--- want\n%s", name, got, want)
	}
}

var update = flag.Bool("update", false, "write the golden files")

func noon() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

func TestPlanText(t *testing.T) {
	p := &Plan{Fleet: "shop", Number: 42, Total: 5, Live: &LiveInfo{Number: 41, By: "anna", Time: noon().Add(-4 * time.Hour), Complete: true},
		Waves: []Wave{{"@canary", []string{"app2"}}, {"@app", []string{"app1"}}}, Notes: []string{"lab overrides: 3"}, Evaluated: []string{"app1", "app2"},
		Hosts: []*HostPlan{
			{Host: "app2", Action: ActionChange, Added: 15623782, Gates: []string{"envoy"}, Packages: []PackageChange{{Name: "shop-api-v2", New: []string{"2.0.0"}}, {Name: "shop-api-v1", Old: []string{"1.8.2"}, New: []string{"1.8.3"}}},
				Units: UnitChanges{Start: []string{"api@v2.service"}, Restart: []string{"api@v1.service"}, Reload: []string{"nixmesh-guard.service"}}},
			{Host: "app1", Action: ActionChange, OldVersion: "0.3.1", NewVersion: "0.3.2", Drift: "it runs x", Guarded: true},
			{Host: "db1", Action: ActionUnchanged, Gates: []string{"envoy"}},
			{Host: "db2", Action: ActionUnreachable, Problem: &Problem{Text: "connect to db2 (10.0.0.32:22): no answer", Exit: ExitUnreachable}},
			{Host: "edge1", Action: ActionRefused, Problem: &Problem{Text: "is host app1 of this fleet", Next: "compare the addresses in nixmesh.hcl:8", Exit: ExitRefused}},
		}}
	p.Mesh = &MeshPlan{Hash: "3fa9", Parts: mesh.Parts{Edges: 10, Gateways: 1, Externals: 1}, On: true, Acts: true, Agents: []string{"app1"},
		Live: &MeshLive{Version: 57, Config: "9f31", Operator: "anna", From: "app1"}, Changes: []MeshChange{
			{mesh.Change{Op: "~", Kind: "split", Subject: "api", Before: "v1 100", After: "v1 90, v2 10"}, "nixmesh.hcl:87"},
			{mesh.Change{Op: "+", Kind: "edge", Subject: "api -> stripe", After: "timeout 5s"}, ""},
			{mesh.Change{Op: "-", Kind: "edge", Subject: "web -> redis"}, ""},
		}}
	var b bytes.Buffer
	WritePlan(&b, p, term.Style{}, noon())
	golden(t, "plan", b.String())
	text, err := json.Marshal(p.Mesh)
	if want := `{"hash":"3fa9","parts":{"edges":10,"gateways":1,"externals":1,"routes":0,"splits":0,"allows":0},"on":true,"acts":true,` +
		`"live":{"version":57,"config":"9f31","operator":"anna","from":"app1"},"changes":[` +
		`{"op":"~","kind":"split","subject":"api","before":"v1 100","after":"v1 90, v2 10","place":"nixmesh.hcl:87"},` +
		`{"op":"+","kind":"edge","subject":"api -\u003e stripe","after":"timeout 5s"},{"op":"-","kind":"edge","subject":"web -\u003e redis"}],"agents":["app1"]}`; err != nil || string(text) != want {
		t.Errorf("got %s %v, want %s", text, err, want)
	}
	b.Reset()
	WriteMesh(&b, &MeshPlan{Parts: mesh.Parts{Edges: 2}}, true)
	if want := "no mesh: `nixmesh --lab ca init` turns it on (2 edges: checked, not acted on)\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	if p.Exit() != ExitRefused {
		t.Errorf("exit %d", p.Exit())
	}
}

// A failed deploy as logs, as the final text, and as JSON.
func TestFailedDeployText(t *testing.T) {
	w := newWorld()
	w.Now = noon
	w.Fleet.Services = []*spec.Service{{Name: "api", On: []string{"app1", "app2"}, Place: spec.Place{File: "nixmesh.hcl", Line: 88, Block: `service "api"`}}}
	w.hosts["app2"].bad = &rollback.Verdict{Reason: "api: GET /healthz 503 for 90 s (18 of 18 checks)", Service: "api", Log: []string{"config: STRIPE_KEY_FILE is empty", "GET /healthz 503"}}
	s := w.mustDeploy(t, 2)
	var text, plainText, ndjson bytes.Buffer
	WriteSummary(&text, s, term.Style{})
	golden(t, "failed-summary", text.String())

	p, j := NewPlain(&plainText, noon), NewNDJSON(&ndjson)
	for _, e := range w.events.Events() {
		if e.Host == "db2" || e.State == StateProgress {
			continue // db1 and db2 go at once, in no order
		}
		p.Event(e)
		j.Event(e)
	}
	p.Close()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(ndjson.String()), "\n")
	var last Event
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Summary == nil || last.Summary.Exit != ExitRolledBack {
		t.Errorf("the last line is no summary: %v %s", err, lines[len(lines)-1])
	}
	if i := strings.Index(plainText.String(), "release 1 wave 2/4"); i < 0 {
		t.Errorf("no second wave:\n%s", plainText.String())
	} else {
		golden(t, "failed-plain", plainText.String()[strings.LastIndex(plainText.String()[:i], "\n")+1:])
	}
}

func TestLiveRegion(t *testing.T) {
	var b bytes.Buffer
	l := NewLive(&b, term.Style{TTY: true}, noon)
	l.Event(Event{Kind: KindRelease, Number: 42, Hosts: []string{"db1", "app2"}, Time: noon()})
	l.Event(Event{Kind: KindWave, Wave: 2, Waves: 4, Detail: "@canary", Time: noon()})
	l.Event(Event{Kind: KindHost, Host: "app2", Phase: PhaseVerify, State: StateFail, Time: noon()})
	l.Event(Event{Kind: KindFailure, Host: "app2", Detail: "api: 503", Log: []string{"stripe: no key"}, Time: noon()})
	l.Event(Event{Kind: KindResult, Host: "app2", Result: &HostResult{End: EndRolledBack}, Time: noon()})
	l.Close()
	frames := strings.Split(b.String(), "\x1b[J")
	golden(t, "live", frames[len(frames)-1])
	if !strings.Contains(b.String(), "app2  |  stripe: no key") {
		t.Error("the log is not above the region")
	}
}

func TestStatusText(t *testing.T) {
	w := newWorld()
	w.mustDeploy(t, 2)
	w.hosts["db2"].down = true
	w.hosts["db2"].epoch++
	w.hosts["app1"].stuck = true
	w.hosts["app1"].journal.Phase, w.hosts["app1"].journal.Deadline = rollback.PhaseVerifying, 12
	w.hosts["app1"].journal.Run = "r2-beef"
	s := w.Status(t.Context(), hostNames(w.Fleet))
	s.Live.Time = noon()
	var b bytes.Buffer
	WriteStatus(&b, s, term.Style{}, noon().Add(2*time.Minute))
	golden(t, "status", b.String())
}

// statusText is the fleet's status as people read it, release times at noon.
func (w *world) statusText(t *testing.T) string {
	t.Helper()
	s := w.Status(t.Context(), hostNames(w.Fleet))
	if s.Live != nil {
		s.Live.Time = noon()
	}
	var b bytes.Buffer
	WriteStatus(&b, s, term.Style{}, noon().Add(2*time.Minute))
	return b.String()
}

// The units of versions and instances are told apart; the unit of a NixOS module
// goes by its service's name.
func TestInstanceName(t *testing.T) {
	for unit, want := range map[string]string{"api@v1-2.service": "api@v1-2", "web.service": "web", "redis-shop.service": "web", "web.timer": "web", "web@2.service": "web@2"} {
		service := "web"
		if strings.HasPrefix(unit, "api") {
			service = "api"
		}
		if got := instanceName(rollback.UnitState{Name: unit, Service: service}); got != want {
			t.Errorf("%s is shown as %q, want %q", unit, got, want)
		}
	}
}
