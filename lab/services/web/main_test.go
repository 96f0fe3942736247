package main

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPages(t *testing.T) {
	t.Setenv("NIXMESH_HOST", "app1")
	api := httptest.NewServer((&web{}).pages()) // any service that answers
	defer api.Close()
	away := newCounter("127.0.0.1:1")
	defer away.close()
	for _, tt := range []struct {
		path   string
		web    *web
		status int
		body   string
	}{
		{"/", &web{}, 200, "web on app1"},
		{"/api", &web{api: api.URL}, 200, "web on app1\nweb on app1"},
		{"/api", &web{api: api.URL, counter: away}, 200, "web on app1\n  redis: dial tcp"},
		{"/api", &web{}, 502, "API_URL is not set"},
		{"/api", &web{api: api.URL + "/nothing"}, 502, "404 Not Found: 404 page not found"},
		{"/nothing", &web{}, 404, "not found"},
		{"/echo/x", &web{}, 200, "GET /echo/x HTTP/1.1"},
	} {
		w := httptest.NewRecorder()
		tt.web.pages().ServeHTTP(w, httptest.NewRequest("GET", tt.path, nil))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.body) {
			t.Errorf("GET %s = %d %q; want %d, %q in it", tt.path, w.Code, w.Body, tt.status, tt.body)
		}
	}
}
