package main

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPages(t *testing.T) {
	t.Setenv("NIXMESH_HOST", "app2")
	t.Setenv("NIXMESH_VERSION", "v2")
	for request, want := range map[[2]string]string{
		{"GET", "/"}:           "api@v2 on app2 GET /\n",
		{"POST", "/reports/1"}: "api@v2 on app2 report POST /reports/1\n",
		{"GET", "/internal/x"}: "api@v2 on app2 internal GET /internal/x\n",
		{"GET", "/nothing"}:    "404 page not found\n",
		{"PUT", "/echo/x"}:     "api@v2 on app2\ncaller nobody\nattempt 1\nPUT /echo/x HTTP/1.1\nhost: example.com\n",
	} {
		w := httptest.NewRecorder()
		(&api{}).pages().ServeHTTP(w, httptest.NewRequest(request[0], request[1], nil))
		if w.Body.String() != want {
			t.Errorf("%v = %q; want %q", request, w.Body, want)
		}
	}
}

// Without its upstreams the service is well and says what is missing.
func TestUpstreamsAreAway(t *testing.T) {
	t.Setenv("NIXMESH_HOST", "app2")
	t.Setenv("NIXMESH_VERSION", "v2")
	away, err := openVisits("postgres://api:secret@127.0.0.1:1/shop", "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := away.close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	_, broken := openVisits("postgres://api:secret@shop:port/shop", "127.0.0.1:1")
	if broken == nil || strings.Contains(broken.Error(), "secret") {
		t.Errorf("no URL: %v", broken)
	}
	for _, tt := range []struct {
		a          *api
		path, says string
	}{
		{&api{visits: away}, "/", "api@v2 on app2: postgres: "},
		{&api{broken: errors.New("read DATABASE_URL")}, "/", "api@v2 on app2: read DATABASE_URL"},
		{&api{stripe: "http://127.0.0.1:1/"}, "/charge", "api@v2 on app2: ask stripe: "},
	} {
		w := httptest.NewRecorder()
		tt.a.pages().ServeHTTP(w, httptest.NewRequest("GET", tt.path, nil))
		if w.Code != 502 || !strings.Contains(w.Body.String(), tt.says) || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s = %d %q; want %q", tt.path, w.Code, w.Body, tt.says)
		}
	}
}
