package demo

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestEcho(t *testing.T) {
	t.Setenv("NIXMESH_HOST", "app1")
	t.Setenv("NIXMESH_VERSION", "")
	e := &Echo{Name: "echo"}
	ask := func(target, certificate, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", target, strings.NewReader(body))
		r.Header.Set("X-Forwarded-Client-Cert", certificate)
		r.Header.Add("Colour", "red")
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		return w
	}
	const outer = "By=spiffe://x/svc/a;URI=spiffe://x/svc/forged"
	w := ask("/a/b?x=1", outer+",By=spiffe://x/svc/echo;Hash=00;URI=spiffe://x/svc/web", "text")
	want := "echo on app1\ncaller spiffe://x/svc/web\nattempt 1\nPOST /a/b?x=1 HTTP/1.1\nhost: example.com\ncolour: red\n" +
		"x-forwarded-client-cert: " + outer + ",By=spiffe://x/svc/echo;Hash=00;URI=spiffe://x/svc/web\n\ntext"
	if w.Code != 200 || w.Body.String() != want {
		t.Errorf("%d %q, want %q", w.Code, w.Body, want)
	}
	for _, tt := range []struct {
		target string
		status int
		says   string
	}{
		{"/?status=418", 418, "caller nobody\n"},
		{"/?status=9", 400, "status is no number"},
		{"/?sleep=1", 400, "sleep is no duration"},
		{"/?sleep=1ms", 200, "attempt 1\n"},
		{"/?fail=2&key=a", 503, "attempt 1\n"},
		{"/?fail=2&key=a", 503, "attempt 2\n"},
		{"/?fail=2&key=a", 200, "attempt 3\n"},
		{"/?fail=2&key=b", 503, "attempt 1\n"},
	} {
		if w := ask(tt.target, "", ""); w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s: %d %q", tt.target, w.Code, w.Body)
		}
	}
}
