package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// logLine is what the tests read of a line that an Envoy writes of a call.
type logLine struct {
	Side    string `json:"side"`
	Caller  string `json:"caller"`
	Callee  string `json:"callee"`
	Edge    string `json:"edge"`
	Route   string `json:"route"`
	Method  string `json:"method"`
	Path    string `json:"path"`
	Code    int    `json:"code"`
	Flags   string `json:"flags"`
	Details string `json:"details"`
	Request string `json:"request"`
	Trace   string `json:"trace"`
}

// logged waits for what the Envoy of a host wrote to the journal of a trace, on one
// side of the call.
func (f *fleet) logged(t *testing.T, host, side, trace string) (line logLine) {
	t.Helper()
	until(t, fmt.Sprintf("the journal of %s tells of %s, %s", host, trace, side), func() bool {
		r := f.ssh(host, "journalctl --no-pager -o cat -u "+hostfacts.EnvoyUnit+" | grep -F "+trace)
		for text := range strings.Lines(r.stdout) {
			line = logLine{}
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if line.Side == side && line.Trace == "00-"+trace {
				t.Log(strings.TrimSpace(text))
				return true
			}
		}
		return false
	})
	return line
}

// testAccessLog: both ends of a call write to their journals who called whom, by
// which route and what came of it, and both under the same names of the request.
func (f *fleet) testAccessLog(t *testing.T, web *caller) {
	domain := f.document("h1").Config.TrustDomain
	const answered, late = "4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"
	client := web.Client(false)
	defer client.CloseIdleConnections()
	for trace, path := range map[string]string{answered: "/open/?token=secret", late: "/open/?token=secret&sleep=20s"} {
		if s := one(client, http.MethodGet, "http://narrow.mesh"+path, "Traceparent", "00-"+trace+"-00f067aa0ba902b7-01"); s.err != nil {
			t.Fatal(s)
		}
	}
	for _, want := range []struct {
		host, trace string
		logLine
	}{
		{"h1", answered, logLine{Side: "out", Code: 200, Flags: "-"}},
		{"h2", answered, logLine{Side: "in", Code: 200, Flags: "-"}},
		{"h1", late, logLine{Side: "out", Code: 504, Flags: "UT"}},
		{"h2", late, logLine{Side: "in", Flags: "DR"}},
	} {
		got := f.logged(t, want.host, want.Side, want.trace)
		if got.Caller != "spiffe://"+domain+"/svc/web" || got.Callee != "spiffe://"+domain+"/svc/narrow" {
			t.Errorf("%s: %s calls %s", want.host, got.Caller, got.Callee)
		}
		if got.Code != want.Code || got.Flags != want.Flags || got.Method != "GET" || got.Path != "/open/" || got.Route == "" || got.Request == "" {
			t.Errorf("%s: got %+v, want %+v", want.host, got, want.logLine)
		}
	}
	if out, in := f.logged(t, "h1", "out", answered), f.logged(t, "h2", "in", answered); out.Request != in.Request {
		t.Errorf("one request is %s and %s", out.Request, in.Request)
	}
	if r := f.ssh("h1", "journalctl --no-pager -u "+hostfacts.EnvoyUnit+" | grep -c token=secret"); r.code != 1 {
		t.Errorf("the query is in the journal: %s", r)
	}
}
