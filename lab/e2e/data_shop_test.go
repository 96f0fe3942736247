package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// customer is who asks the shop's gateway from this machine, with the lab's CA.
func (f *fleet) customer(t *testing.T) *http.Client {
	t.Helper()
	root, err := os.ReadFile(filepath.Join(f.dir, ".nixmesh/lab/ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	edge := net.JoinHostPort(f.host("edge1").Address, "443")
	return &http.Client{Timeout: answerTime, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "shop.example"},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, edge)
		},
	}}
}

// TestShopAnswers: from a customer through the gateway to web, to api, to PostgreSQL
// and Redis, and to the payment provider that the lab stands in for.
func TestShopAnswers(t *testing.T) {
	t.Parallel()
	f := newShop(t)
	// The patience of web with api is not what is tested.
	spec, err := os.ReadFile(filepath.Join(f.dir, "nixmesh.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	f.file("nixmesh.hcl", strings.Replace(string(spec), `timeout = "2s"`, `timeout = "20s"`, 1))
	f.wantTaken(t, f.deploy())
	f.wantListening(t)
	f.wantConvened(t)
	f.wantWhole(t)
	customer := f.customer(t)
	defer customer.CloseIdleConnections()
	ask := func(path string, header ...string) said {
		return one(customer, http.MethodGet, "https://shop.example"+path, header...)
	}
	// Who is asked before the database can be is taken for sick, for half a minute.
	f.eventually(t, 0, []string{"mesh", "certs"})
	page := regexp.MustCompile(`^(web on app[12]\n)  redis: page \d+\n(api@v[12] on app[12] )GET /\n  postgres: \d+ visits\n  redis: \d+ visits\n$`)
	// One page is by one of two webs and one of three apis.
	var s said
	by, row := map[string]bool{}, 0
	if !within(patience, func() bool {
		by, row = map[string]bool{}, 0
		for row < 20 || len(by) < 4 && row < 200 {
			before := s.body
			s = ask("/api")
			m := page.FindStringSubmatch(s.body)
			if s.status != 200 || m == nil || s.body == before {
				return false
			}
			if row++; strings.Contains(m[2], "@v1") {
				by[m[1]+m[2]] = true
			}
		}
		return len(by) == 4
	}) {
		t.Fatalf("%d good pages in a row, by %v, and at last %s", row, by, s)
	}
	// answers waits for an answer with a status that says a text, and gives the body.
	answers := func(t *testing.T, what string, status int, text string, ask func() said) string {
		t.Helper()
		var s said
		if !within(patience, func() bool { s = ask(); return s.err == nil && s.status == status && strings.Contains(s.body, text) }) {
			t.Errorf("%s: want %d with %q, got %s", what, status, text, s)
		}
		return s.body
	}

	t.Run("page", func(t *testing.T) {
		answers(t, "a path of api, rewritten", 200, " report GET /reports/1\n", func() said { return ask("/api/reports/1") })
		if body := answers(t, "the payment provider", 200, "the lab answers for stripe\nPOST /v1/charges", func() said { return ask("/api/charge") }); !strings.Contains(body, "server name: api.stripe.com\n") {
			t.Errorf("the payment provider: %s", body)
		}
	})
	t.Run("identities", func(t *testing.T) {
		domain := f.document("app1").Config.TrustDomain
		answers(t, "the gateway calls as itself", 200, "caller spiffe://"+domain+"/svc/public\n", func() said { return ask("/api/echo/x") })
		const trace, chosen = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
		if body := answers(t, "a customer names his trace", 200, "traceparent: "+trace+"\n", func() said {
			return ask("/api/echo/x", "Traceparent", trace, "X-Request-Id", chosen)
		}); !strings.Contains(body, "x-request-id: ") || strings.Contains(body, chosen) {
			t.Errorf("a customer names his request: %s", body)
		}
		web, worker := f.as("app2", "nm-web"), f.as("app2", "nm-worker")
		for _, tt := range []struct {
			c      *caller
			url    string
			status int
			says   string
		}{
			{web, "http://api.mesh/echo/x", 200, "caller spiffe://" + domain + "/svc/web\n"},
			{worker, "http://api.mesh/internal/x", 200, " internal GET /internal/x\n"},
			{worker, "http://api.mesh/echo/x", 403, ""},
		} {
			answers(t, tt.c.String()+" asks "+tt.url, tt.status, tt.says, func() said { return tt.c.get(tt.url) })
		}
		for _, address := range []string{"postgres.mesh:5432", "stripe.mesh:80"} {
			web.refused(t, address)
		}
		f.as("app1", "root").refused(t, "api.mesh:80")
	})
	t.Run("worker", func(t *testing.T) {
		// It asks again and again; what it asked before its certificate was there failed.
		journal := ""
		if !within(patience, func() bool {
			journal = "\n" + f.ssh("app2", "journalctl -u worker.service --no-pager -o cat").want(t, 0).stdout
			for _, line := range []string{"\npostgres: answers\n", "\nredis: answers\n", "\napi: answers"} {
				if !strings.Contains(journal, line) {
					return false
				}
			}
			return true
		}) {
			t.Errorf("the worker has no answer of each: %s", journal)
		}
	})
	t.Run("one api killed", func(t *testing.T) {
		f.ssh("app1", "systemctl kill -s KILL api@v1.service; systemctl stop api@v1.service").want(t, 0)
		for range 40 {
			if s := ask("/api"); s.status != 200 {
				t.Errorf("without api@v1 on app1: %s", s)
			}
		}
		f.ssh("app1", "systemctl start api@v1.service").want(t, 0)
	})
}
