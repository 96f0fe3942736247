package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
)

// What callers keep up while something is done to agents.
const (
	longLines = 100 // TCP connections
	keptRate  = 100 // requests a second on connections that are kept
	freshRate = 100 // requests a second, each on a connection of its own
)

// traffic is web's: lines to pipe on the second host, requests to the first version
// of split on every host, none of which is tried again, and a WebSocket to narrow. It
// is counted where it begins, and where it ends.
type traffic struct {
	f      *fleet
	loads  map[string]*load
	lines  *kept
	socket *webSocket
	http   received
	tcp    received
}

// received is what a service of the lab counts of itself: see lab/services/echo.
type received struct {
	Requests    int64 `json:"requests"`
	Aborted     int64 `json:"aborted"`
	Connections int64 `json:"connections"`
	Bytes       int64 `json:"bytes"`
}

// since is what came after an earlier count.
func (r received) since(before received) received {
	return received{r.Requests - before.Requests, r.Aborted - before.Aborted, r.Connections - before.Connections, r.Bytes - before.Bytes}
}

// received sums up what a service counted on hosts. Where it listens is as the lock has it.
func (f *fleet) received(t *testing.T, listen string, hosts ...string) (sum received) {
	t.Helper()
	for _, host := range hosts {
		s := f.as(host, "nixmesh-envoy").get(fmt.Sprintf("http://127.0.0.1:%d/stats", f.port(listen)))
		var r received
		if err := json.Unmarshal([]byte(s.body), &r); s.status != http.StatusOK || err != nil {
			t.Fatalf("the counters of %s on %s: %s, %v", listen, host, s, err)
		}
		sum = received{sum.Requests + r.Requests, sum.Aborted + r.Aborted, sum.Connections + r.Connections, sum.Bytes + r.Bytes}
	}
	return sum
}

// traffic starts all of it, and comes back when it flows.
func (f *fleet) traffic(t *testing.T, web *caller) *traffic {
	t.Helper()
	tr := &traffic{f: f, http: f.received(t, "split@v1", f.hosts...), tcp: f.received(t, "pipe:stats", "h2")}
	tr.socket = web.webSocket(t, "narrow.mesh")
	tr.lines = web.keep(t, "pipe.mesh:7000", longLines)
	tr.loads = map[string]*load{
		"kept connections": startLoad(web, "http://split.mesh/load", keptRate, false),
		"new connections":  startLoad(web, "http://split.mesh/load", freshRate, true),
	}
	tr.flows(t)
	return tr
}

// flows waits until a second's worth of all of it was answered from now on.
func (tr *traffic) flows(t *testing.T) {
	t.Helper()
	for _, l := range tr.loads {
		l.more(t, keptRate)
	}
	tr.lines.more(t, longLines)
}

// end ends it, and fails where anything broke, or came more or less often than it
// was sent.
func (tr *traffic) end(t *testing.T) {
	t.Helper()
	tr.flows(t)
	defer tr.socket.Close()
	if err := tr.socket.echo("still here"); err != nil {
		t.Errorf("the WebSocket to another host: %v", err)
	}
	sent := int64(0)
	for what, l := range tr.loads {
		if failed := l.end(t, what); failed > 0 {
			t.Errorf("%s: %d failed", what, failed)
		}
		n, _ := l.counts()
		sent += int64(n)
	}
	if broken := tr.lines.end(); len(broken) > 0 {
		t.Errorf("%d connections ended, the first ones: %v", len(broken), broken[:min(3, len(broken))])
	}
	http := tr.f.received(t, "split@v1", tr.f.hosts...).since(tr.http)
	if want := (received{Requests: sent}); http != want {
		t.Errorf("sent and answered %+v, received %+v", want, http)
	}
	tcp := tr.f.received(t, "pipe:stats", "h2").since(tr.tcp)
	if want := (received{Connections: longLines, Bytes: tr.lines.bytes.Load()}); tcp != want {
		t.Errorf("sent and echoed %+v, received %+v", want, tcp)
	}
	t.Logf("of both ends: %d requests answered and %d received, %d bytes echoed on %d connections and %d on %d received",
		sent, http.Requests, tr.lines.bytes.Load(), longLines, tcp.Bytes, tcp.Connections)
}
