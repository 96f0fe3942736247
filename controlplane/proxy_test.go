package controlplane

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/api"
	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/guard"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// What Envoy counts is told under the names of the mesh, and nothing else is.
func TestEnvoyMetrics(t *testing.T) {
	t.Parallel()
	text := `# TYPE envoy_cluster_upstream_rq_xx counter
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="u_web_api@v1"} 3
envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",envoy_cluster_name="u_web_db_admin"} 1
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="local_api@v1"} 4
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="xds"} 9
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="u_web_api@v1",le="0.5"} 1
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="u_web_api@v1",le="+Inf"} 3
envoy_cluster_upstream_rq_time_sum{envoy_cluster_name="u_web_api@v1"} 1500
envoy_cluster_upstream_rq_time_count{envoy_cluster_name="u_web_api@v1"} 3
envoy_cluster_membership_healthy{envoy_cluster_name="u_web_api@v1"} 2
envoy_http_rbac_denied{envoy_http_conn_manager_prefix="in:api@v1"} 7
envoy_listener_ssl_fail_verify_san{envoy_listener_address="10.0.0.1_15443"} 1
envoy_listener_ssl_fail_verify_san{envoy_listener_address="10.0.0.1_443"} 2
envoy_server_uptime{} 5
envoy_cluster_upstream_cx_total{envoy_cluster_name="u_web\"x_api"} 1
envoy_cluster_upstream_cx_total{envoy_cluster_name="u_web_api@v1"} x
envoy_cluster_upstream_cx_total
`
	var got []string
	for _, m := range envoyMetrics([]byte(text)) {
		var labels []string
		for _, l := range m.Labels {
			labels = append(labels, l.Name+"="+l.Value)
		}
		got = append(got, fmt.Sprintf("%s{%s} %g", m.Name, strings.Join(labels, ","), m.Value))
	}
	want := []string{
		"nixmesh_call_requests_total{caller=web,upstream=api,version=v1,code=2xx} 3",
		"nixmesh_call_requests_total{caller=web,upstream=db:admin,version=,code=5xx} 1",
		"nixmesh_served_requests_total{service=api,version=v1,code=2xx} 4",
		"nixmesh_call_duration_seconds_bucket{caller=web,upstream=api,version=v1,le=0.0005} 1",
		"nixmesh_call_duration_seconds_bucket{caller=web,upstream=api,version=v1,le=+Inf} 3",
		"nixmesh_call_duration_seconds_sum{caller=web,upstream=api,version=v1} 1.5",
		"nixmesh_call_duration_seconds_count{caller=web,upstream=api,version=v1} 3",
		"nixmesh_call_endpoints{caller=web,upstream=api,version=v1,state=healthy} 2",
		"nixmesh_served_denied_total{service=api,version=v1,shadow=no} 7",
		"nixmesh_envoy_turned_away_total{reason=identity} 3",
		"nixmesh_envoy_uptime_seconds{} 5",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Every metric of Envoy has a family with its labels, or is one that copies on this
// host have no use for.
func TestEnvoyFamilies(t *testing.T) {
	t.Parallel()
	families := map[api.Name]bool{}
	for _, f := range api.Families() {
		families[f.Name] = true
	}
	for _, c := range callCounts {
		if !families["nixmesh_call"+c.name] {
			t.Errorf("nixmesh_call%s has no family", c.name)
		}
	}
	for _, c := range serverCounts {
		if !families[c.name] {
			t.Errorf("%s has no family", c.name)
		}
	}
}

// Of the fleet only those services count that callers of this host may call.
func TestScopeOfAHost(t *testing.T) {
	t.Parallel()
	config := &mesh.Config{
		Services: map[string]*mesh.Service{
			"web": {Versions: []mesh.Version{{Hosts: mesh.Names{"a"}}}}, "api": {Versions: []mesh.Version{{Name: "v1", Hosts: mesh.Names{"a", "b"}}, {Name: "v2", Hosts: mesh.Names{"b"}}}},
			"db": {Versions: []mesh.Version{{Hosts: mesh.Names{"b"}}}}, "other": {Versions: []mesh.Version{{Hosts: mesh.Names{"b"}}}},
		},
		Gateways:  map[string]*mesh.Gateway{"public": {Hosts: mesh.Names{"a"}}, "far": {Hosts: mesh.Names{"b"}}},
		Externals: map[string]*mesh.External{"pay": {}},
		Edges: map[string]map[string]*mesh.Edge{
			"web": {"api": {}, "pay": {}}, "public": {"db:admin": {}}, "far": {"other": {}}, "other": {"web": {}},
		},
	}
	p := &proxy{agent: &Agent{host: "a"}, files: newProxyFiles(time.Now, "", slog.New(slog.DiscardHandler))}
	p.agent.opts.Clock = machineClock{}
	s := p.scope(config, &hostfacts.Facts{Instances: []hostfacts.Instance{{Service: "web"}}, Mesh: &hostfacts.Mesh{}})
	if len(s.called) != 2 || !s.called["api"] || !s.called["db"] {
		t.Errorf("called: %v", s.called)
	}
	if !slices.Equal(s.on["a"], []string{"api"}) || !slices.Equal(s.on["b"], []string{"api", "db"}) {
		t.Errorf("by host: %v", s.on)
	}
}

// Files are read if the facts name them, up to a bound, and looked at again.
func TestProxyFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	chain, key, large := write("chain", "one"), write("key", "two"), write("large", strings.Repeat("x", maxProxyFile+1))
	f := newProxyFiles(time.Now, "", slog.New(slog.DiscardHandler))
	read := f.reader(&hostfacts.Facts{Mesh: &hostfacts.Mesh{
		Gateways:  []hostfacts.Gateway{{Certificates: []hostfacts.CertificateFiles{{Chain: chain, Key: key}}}},
		Externals: []hostfacts.External{{CA: large}},
	}})
	if got, err := read(chain); err != nil || string(got) != "one" {
		t.Errorf("chain: %q, %v", got, err)
	}
	if _, err := read(large); err == nil {
		t.Error("a file without bounds is read")
	}
	if _, err := read(write("unnamed", "x")); err == nil {
		t.Error("a file is read that the facts do not name")
	}
	if f.changed() {
		t.Error("something changed before it did")
	}
	write("key", "another")
	if !f.changed() || f.changed() {
		t.Error("a change is not told, or told twice")
	}
	now := time.Now()
	f.now = func() time.Time { return now }
	f.keep(map[string]xds.Kept{"old": {Until: now.Add(-time.Hour)}, "first": {Until: now.Add(time.Hour)}, "last": {Until: now.Add(2 * time.Hour)}})
	if f.changed() {
		t.Error("the end of a certificate is told before it comes")
	}
	now = now.Add(time.Hour + time.Second)
	if !f.changed() || f.changed() {
		t.Error("the end of a certificate is not told, or told twice")
	}
}

// What files held when they were good outlives the process, and nothing else does:
// no damage of it, and nothing that is not in use any more.
func TestKeptForTheNext(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "agent")
	var said bytes.Buffer
	start := func() *proxyFiles {
		return newProxyFiles(time.Now, dir, slog.New(slog.NewTextHandler(&said, nil)))
	}
	f := start()
	if f.keep(nil); len(f.kept()) > 0 {
		t.Errorf("kept at first: %v", f.kept())
	}
	path := filepath.Join(dir, fileKept)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file of nothing: %v", err)
	}
	good := map[string]xds.Kept{"gateway:public": {Leaf: xds.Leaf{Chain: []byte("chain"), Key: []byte("key")}, Until: time.Now().Add(time.Hour).UTC().Truncate(time.Second)}}
	f.keep(good)
	if got := start().kept(); !reflect.DeepEqual(got, good) {
		t.Errorf("the next has %v", got)
	}
	for name, mode := range map[string]fs.FileMode{dir: fs.ModeDir | 0o700, path: 0o600} {
		if info := must(os.Stat(name))(t); info.Mode() != mode {
			t.Errorf("%s is %s", name, info.Mode())
		}
	}
	whole := must(os.ReadFile(path))(t)
	for _, damaged := range [][]byte{nil, whole[:len(whole)/2], append([]byte("x"), whole...), seal([]byte("{"))} {
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		said.Reset()
		if got := start().kept(); len(got) > 0 || !strings.Contains(said.String(), "cannot be read") {
			t.Errorf("of %d bytes the next has %v, and says %s", len(damaged), got, &said)
		}
	}
	f = start()
	f.keep(good)
	f.keep(map[string]xds.Kept{})
	if got := start().kept(); len(got) > 0 || said.Len() > 0 && strings.Contains(said.String(), "key") {
		t.Errorf("what nobody uses is kept: %v; said %s", got, &said)
	}
}

// What the guard saw is told for a while.
func TestGuardReport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := newGuarded(dir)
	p := newProblems(machineClock{}, func(agentapi.Event) {})
	report := func(r guard.Report) {
		r.Schema = guard.Schema
		content, err := json.Marshal(r)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "guard.json"), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		g.look(p, true)
	}
	says := func(texts ...string) {
		t.Helper()
		list := p.list()
		if len(list) != len(texts) {
			t.Errorf("problems: %+v, want %d", list, len(texts))
			return
		}
		for i := range texts {
			if !slices.ContainsFunc(list, func(p agentapi.Problem) bool { return strings.Contains(p.What, texts[i]) }) {
				t.Errorf("problems: %+v, want %q", list, texts[i])
			}
		}
	}
	g.look(p, true) // it may be on its way
	says()
	report(guard.Report{Table: "x"})
	says()
	report(guard.Report{Table: "x", Restored: 2, Last: &guard.Restore{At: time.Now(), By: "nft"}, Counts: guard.Counts{Undeclared: 5, Squatted: 3}})
	says("nft changed the kernel's table", "somebody answers on a port")
	if s := g.status(); s.Undeclared != 5 || !s.Loaded {
		t.Errorf("status: %+v", s)
	}
	report(guard.Report{Error: "syntax", Counts: guard.Counts{Squatted: 3}})
	says("is not loaded: syntax", "somebody answers on a port")
	g.look(p, false)
	says()
}
