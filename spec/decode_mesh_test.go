package spec

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// meshSample is the fleet of valid_mesh.txtar.
func meshSample(t *testing.T) *Fleet {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/check/valid_mesh.txtar")
	if err != nil {
		t.Fatal(err)
	}
	dir, _ := unpack(t, archive)
	l := Load(dir, Options{Version: "0.4.0"})
	if l.Fleet == nil {
		t.Fatal(l.Diagnostics)
	}
	return l.Fleet
}

func (f *Fleet) serviceNamed(name string) *Service {
	return f.Services[slices.IndexFunc(f.Services, func(s *Service) bool { return s.Name == name })]
}

// TestDecodeUpstream: what is written, and the defaults of what is not.
func TestDecodeUpstream(t *testing.T) {
	f := meshSample(t)
	second, minutes, half := 2*time.Second, 5*time.Minute, 500*time.Millisecond
	api, spare := *f.serviceNamed("web").Upstreams[0], *f.serviceNamed("web").Upstreams[1]
	api.Place, api.Retry.Place, api.Failover.Place, spare.Place, spare.Failover.Place = Place{}, Place{}, Place{}, Place{}, Place{}
	for _, c := range []struct{ got, want Upstream }{
		{api, Upstream{
			Name: "api", Listen: "main", Port: 8080, Timeout: &second, IdleTimeout: &minutes, ConnectTimeout: half, LB: "ring_hash", Hash: "header:x-user", Panic: 50,
			Retry:   &Retry{Attempts: 3, On: []string{"5xx", "reset", "503"}, PerTry: &half, Backoff: 10 * time.Millisecond, Budget: 10, Hedge: true},
			Outlier: Outlier{Errors: 3, Every: 5 * time.Second, Eject: time.Minute, Max: 30}, Circuit: Circuit{Connections: 100, Pending: 10, Requests: 200, Retries: 1},
			Failover: Failover{To: []string{"spare"}, Threshold: 50},
		}},
		{spare, Upstream{
			Name: "spare", ConnectTimeout: time.Second, LB: "least_request", SlowStart: 10 * time.Second,
			Outlier: Outlier{Errors: 5, Every: 10 * time.Second, Eject: 30 * time.Second, Max: 50}, Circuit: Circuit{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3},
			Failover: Failover{Zones: true, Threshold: 70},
		}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("got\n%+v\nwant\n%+v", c.got, c.want)
		}
	}
}

// TestDecodeAllow: methods in upper case, headers in lower, rules taken apart.
func TestDecodeAllow(t *testing.T) {
	got := *meshSample(t).serviceNamed("api").Allows[0]
	got.Place, got.Limit.Place = Place{}, Place{}
	want := Allow{
		Caller: "web", Methods: []string{"GET", "POST"}, Paths: []Path{{"prefix", "/v1/"}, {"exact", "/healthz"}, {"regex", "/v[0-9]+/items"}},
		Headers: []Match{{Name: "x-team", Kind: "regex", Text: "internal-.*", Not: true}, {Name: "x-trace", Kind: "present"}},
		Listen:  "main", Shadow: true, Limit: &Limit{Rate: Rate{100, time.Second}, Burst: 200, By: "client", Shared: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// TestDecodeGateway: hosts and paths of routes, targets, and the listens that
// nobody wrote.
func TestDecodeGateway(t *testing.T) {
	f := meshSample(t)
	public := f.Gateways[slices.IndexFunc(f.Gateways, func(g *Gateway) bool { return g.Name == "public" })]
	type summary struct {
		Host    string
		Path    Path
		Service string
		To      string
		Targets []Target
	}
	want := []summary{
		{"shop.example", Path{"prefix", "/"}, "web", "", nil},
		{"shop.example", Path{"prefix", "/api/"}, "api", "v1", nil},
		{"*.shop.example", Path{"prefix", "/"}, "", "", []Target{{"api", "v1", 30}, {"web", "", 70}}},
		{"p.example", Path{"regex", "/p/[0-9]+"}, "", "", nil},
		{"admin.shop.example", Path{"prefix", "/"}, "", "", nil},
	}
	for i, r := range public.Routes {
		if got := (summary{r.Host, r.Path, r.Service, r.To, r.Targets}); !reflect.DeepEqual(got, want[i]) {
			t.Errorf("got %+v, want %+v", got, want[i])
		}
	}
	if m := public.Routes[1].Mirror; m.Service != "api" || m.To != "v2" {
		t.Errorf("mirror %+v", m)
	}
}

// TestDefaultListens: https and http with a certificate, else http, and none for
// a gateway that passes TCP on.
func TestDefaultListens(t *testing.T) {
	for _, c := range []struct {
		certificate, written string
		routes               int
		want                 []string
	}{
		{"acme", "", 1, []string{"https", "http"}},
		{"", "", 1, []string{"http"}},
		{"cert", "tcp", 1, []string{"tcp", "https", "http"}},
		{"", "tcp", 0, []string{"tcp"}},
		{"cert", "https", 1, []string{"https"}},
	} {
		b := &block{kind: "gateway", schema: gatewaySchema(), attrs: map[string]*attr{}, refused: map[string]bool{}}
		if c.certificate != "" {
			b.attrs[c.certificate] = &attr{}
		}
		if c.written != "" {
			b.blocks = []*block{{kind: "listen", label: c.written, schema: b.schema.blocks["listen"], attrs: map[string]*attr{}, refused: map[string]bool{"port": true, "to": true, "from": true}}}
		}
		g := &Gateway{Routes: make([]*GatewayRoute, c.routes)}
		d := &decoder{evaluator: &evaluator{sink: newSink()}, written: map[string]bool{}}
		d.gatewayListens(g, b)
		var got []string
		for _, l := range g.Listens {
			got = append(got, l.Protocol)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s %s %d: got %v, want %v", c.certificate, c.written, c.routes, got, c.want)
		}
	}
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]Rate{"100/s": {100, time.Second}, "1/m": {1, time.Minute}, "5/h": {5, time.Hour}, "0/s": {}, "1/d": {}, "1.5/s": {}, "10": {}, "-1/s": {}, "1000000000/s": {}} {
		if got, _ := parseRate(text); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}
