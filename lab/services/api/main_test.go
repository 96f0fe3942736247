package main

import (
	"net/http/httptest"
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
	} {
		w := httptest.NewRecorder()
		pages().ServeHTTP(w, httptest.NewRequest(request[0], request[1], nil))
		if w.Body.String() != want {
			t.Errorf("%v = %q; want %q", request, w.Body, want)
		}
	}
}
