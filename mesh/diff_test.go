package mesh_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixmesh/nixmesh/mesh"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*mesh.Config)
		want   string
	}{
		{"nothing", func(*mesh.Config) {}, ""},
		{"split", func(c *mesh.Config) { c.Services["api"].Split = map[string]mesh.Percent{"v1": 100, "v2": 0} },
			"~ split api v1 66.7, v2 33.3 -> v1 100"},
		{"new edge", func(c *mesh.Config) { c.Edges["job"]["stripe"] = edge(mesh.Patience{Timeout: seconds(5)}) },
			"+ edge job -> stripe timeout 5s"},
		{"no edges any more", func(c *mesh.Config) { delete(c.Edges, "job") },
			"- edge job -> api:admin idle timeout 1m0s"},
		{"edge", func(c *mesh.Config) {
			e := c.Edges["web"]["api:public"]
			e.Timeout, e.IdleTimeout, e.Circuit.Connections = nil, seconds(0), 1
		}, `~ edge web -> api:public circuit.connections 1024 -> 1
~ edge web -> api:public idle_timeout not given -> 0s
~ edge web -> api:public timeout 2s -> not given`},
		{"first allow", func(c *mesh.Config) {
			c.Services["web"].Allows = []mesh.Allow{{Caller: "public", Paths: []mesh.Path{{Kind: mesh.PathPrefix, Text: "/internal/"}}}}
			c.Services["pg"].Allows = []mesh.Allow{{Caller: "api", Shadow: true}}
		}, "~ allow api -> pg any connection -> any connection (only counted)\n~ allow public -> web any path -> /internal/"},
		{"allow", func(c *mesh.Config) { c.Services["api"].Allows = c.Services["api"].Allows[:1] },
			"~ allow web -> api GET, POST ~/v[0-9]+/.* header x-team=shop 100 per 1s by client, burst 200, shared (only counted) -> any path"},
		{"allow, where it is the permission", func(c *mesh.Config) {
			c.Authorization = mesh.Explicit
			c.Services["api"].Allows = c.Services["api"].Allows[1:]
		}, `~ allow operator/anna -> api any path on admin -> nothing
~ fleet authorization declared -> explicit`},
		{"route", func(c *mesh.Config) {
			r := c.Services["api"].Routes
			r[1].Timeout, r[2].Path.Text = seconds(40), "/a.*"
		}, `~ route api /reports/ GET from public, web header x-beta=!* cookie beta=~1|2 query debug=* timeout 30s -> 40s
- route api ~/.*
+ route api ~/a.*`},
		{"order", func(c *mesh.Config) {
			r := c.Services["api"].Routes
			r[0], r[2] = r[2], r[0]
			c.Services["api"].Routes = append(r[:1], r[2])
		},
			`~ order of the routes of api /old, ~/.* -> ~/.*, /old
- route api /reports/ GET from public, web header x-beta=!* cookie beta=~1|2 query debug=*`},
		{"placement", func(c *mesh.Config) { c.Services["web"].Versions[0].Hosts = mesh.Names{"app2"} },
			"~ version web hosts app1, app2 -> app2"},
		{"service", func(c *mesh.Config) { c.Services["new"] = c.Services["pg"]; delete(c.Services, "job") },
			"- service job\n+ service new"},
		{"gateway", func(c *mesh.Config) {
			g := c.Gateways["public"]
			g.Listens[1].Port, g.MaxBody, g.Routes[0].Rewrite = 8443, 0, "/"
		}, `~ gateway public max_body 1048576 -> not given
- listen public https 443
+ listen public https 8443
~ route public shop.example/api/ rewrite not given -> /`},
		{"host", func(c *mesh.Config) {
			c.Hosts["app1"].HostKey = c.Hosts["db1"].HostKey
			c.CA.Authorities = mesh.Names{"app1", "db1"}
		},
			"+ authority app1 can issue any identity\n~ host app1 host_key not given -> " + sample().Hosts["db1"].HostKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := sample()
			c.change(b)
			var got []string
			for _, change := range mesh.Diff(sample(), b) {
				got = append(got, change.String())
			}
			if diff := cmp.Diff(c.want, strings.Join(got, "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Whatever makes another hash makes a line: each leaf of the document, changed
// by itself.
func TestDiffLeavesNothingOut(t *testing.T) {
	t.Parallel()
	n := len(leaves(reflect.ValueOf(sample())))
	for i := range n {
		a, b := sample(), sample()
		leaf := leaves(reflect.ValueOf(b))[i]
		switch leaf.Kind() {
		case reflect.String:
			leaf.SetString(leaf.String() + "x")
		case reflect.Bool:
			leaf.SetBool(!leaf.Bool())
		case reflect.Int, reflect.Int64:
			leaf.SetInt(leaf.Int() + 1e9)
		case reflect.Float64:
			leaf.SetFloat(leaf.Float() + 0.5)
		}
		if a.Hash() != b.Hash() && len(mesh.Diff(a, b)) == 0 {
			t.Errorf("no line for leaf %d, now %v", i, leaf)
		}
	}
	if n < 200 {
		t.Errorf("%d leaves", n)
	}
}

// leaves are the settable scalars of a value, in a fixed order.
func leaves(v reflect.Value) []reflect.Value {
	var all []reflect.Value
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			all = leaves(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Type != reflect.TypeFor[mesh.Unknown]() {
				all = append(all, leaves(v.Field(i))...)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			all = append(all, leaves(v.Index(i))...)
		}
	case reflect.Map:
		names := v.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, name := range names {
			all = append(all, leaves(v.MapIndex(name))...)
		}
	default:
		if v.CanSet() {
			all = []reflect.Value{v}
		}
	}
	return all
}
