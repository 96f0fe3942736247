package main

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPages(t *testing.T) {
	t.Setenv("NIXMESH_HOST", "app1")
	api := httptest.NewServer(pages("")) // any service that answers
	defer api.Close()
	for _, tt := range []struct {
		path, api string
		status    int
		body      string
	}{
		{"/", "", 200, "web on app1"},
		{"/api", api.URL, 200, "web on app1\nweb on app1"},
		{"/api", "", 502, "API_URL is not set"},
		{"/nothing", "", 404, "not found"},
	} {
		w := httptest.NewRecorder()
		pages(tt.api).ServeHTTP(w, httptest.NewRequest("GET", tt.path, nil))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.body) {
			t.Errorf("GET %s = %d %q; want %d, %q in it", tt.path, w.Code, w.Body, tt.status, tt.body)
		}
	}
}
