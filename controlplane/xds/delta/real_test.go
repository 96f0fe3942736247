package delta

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/internal/testkit/envoytest"
)

// TestEnvoyServerRestarts: the agent goes and comes back. Nothing is sent again, and
// nothing that is open is closed.
func TestEnvoyServerRestarts(t *testing.T) {
	r, s := startReal(t), shapes{t}
	web, echo, httpPort, tcpPort := web(t, "a"), echo(t), envoytest.FreePort(t), envoytest.FreePort(t)
	all := []*xds.Resource{
		s.cluster("a", time.Second), s.assignment("a", web), s.cluster("b", time.Second), s.assignment("b", echo),
		s.routes("r", "a", "/.*"), s.http("l1", httpPort, "r"), s.tcp("l2", tcpPort, "b"),
	}
	r.server.Replace(all)
	st := r.settle()
	if st.Node != "host1" || !strings.HasPrefix(st.Envoy, "1.") || !st.ListenersAcked || len(st.Refused) > 0 {
		t.Fatalf("settled as %+v", st)
	}
	conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", tcpPort))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := bufio.NewReader(conn)
	say := func(text string) {
		t.Helper()
		_ = conn.SetDeadline(time.Now().Add(testPatience))
		fmt.Fprintln(conn, text)
		if got, err := lines.ReadString('\n'); got != text+"\n" {
			t.Fatalf("the long connection answers %q, %v", got, err)
		}
	}
	say("before")
	calls := load(t, httpPort)
	for i := range 3 {
		r.stop()
		if i == 1 { // Envoy may come before there is anything to tell
			r.serve(nil)
			r.wait("connected", func(st Status) bool { return st.Connected })
			r.server.Replace(all)
		} else {
			r.serve(all)
		}
		st := r.settle()
		if got := sentTotal(st); got.Resources+got.Removals+got.Sent > 0 {
			t.Errorf("restart %d: sent %+v", i, st.Types)
		}
		for _, k := range all {
			if got := r.server.AckedVersion(k.Key); got != k.Version {
				t.Errorf("restart %d: %s is known as %q", i, k.Name, got)
			}
		}
		say(fmt.Sprint("after ", i))
	}
	calls.none(t)
	// What changed while it was away is sent, and nothing else.
	r.stop()
	all[1] = s.assignment("a", web, web)
	r.serve(all)
	if got := sentTotal(r.settle()); got.Resources != 1 || got.Removals != 0 {
		t.Errorf("after a change of one assignment: sent %+v", got)
	}
}

// TestEnvoySwapsUnderLoad: routes go from one cluster to another that is new, and the
// old one goes, while calls come in. None fails.
func TestEnvoySwapsUnderLoad(t *testing.T) {
	r, s := startReal(t), shapes{t}
	port := envoytest.FreePort(t)
	backends := []int{web(t, "0"), web(t, "1")}
	tell := func(i int) {
		name := fmt.Sprint("c", i)
		r.server.Replace([]*xds.Resource{
			s.cluster(name, time.Second), s.assignment(name, backends[i%2]), s.routes("r", name, "/.*"), s.http("l", port, "r"),
		})
		r.settle()
		if got, want := get(port), fmt.Sprint("200 ", i%2); got != want {
			t.Fatalf("round %d: %s", i, got)
		}
	}
	tell(0)
	calls := load(t, port)
	start := time.Now()
	for i := range 20 {
		calls.more(t, 10)
		tell(i + 1)
	}
	t.Logf("20 swaps in %v", time.Since(start))
	calls.more(t, 10)
	calls.none(t)
	if st := r.server.Status(); st.Types[xds.Cluster].Removals != 20 || sentTotal(st).Nacked > 0 {
		t.Errorf("sent %+v", st.Types)
	}
}

// TestEnvoyRefusesListener: one of three new listeners is poisoned. The others serve.
func TestEnvoyRefusesListener(t *testing.T) {
	r, s := startReal(t), shapes{t}
	web := web(t, "a")
	ports := []int{envoytest.FreePort(t), envoytest.FreePort(t), envoytest.FreePort(t)}
	base := []*xds.Resource{s.cluster("a", time.Second), s.assignment("a", web), s.routes("r", "a", "/.*")}
	bad := s.broken("l1", ports[1])
	r.server.Replace(append(base, s.http("l0", ports[0], "r"), bad, s.http("l2", ports[2], "r")))
	st := r.settle()
	if len(st.Refused) != 1 || st.Refused[0].Key != bad.Key || st.Refused[0].Version != bad.Version || st.Refused[0].Good != "" {
		t.Fatalf("refused: %+v", st.Refused)
	}
	t.Logf("envoy says: %s", st.Refused[0].Text)
	if st.Refused[0].About.Service != "l1" || !st.ListenersAcked {
		t.Errorf("status: %+v", st)
	}
	for _, port := range []int{ports[0], ports[2]} {
		if got := get(port); got != "200 a" {
			t.Errorf("a good listener answers %s", got)
		}
	}
	// A good version, then a poisoned one: the good one stays.
	r.server.Replace(append(base, s.http("l0", ports[0], "r"), s.http("l1", ports[1], "r")))
	if st := r.settle(); len(st.Refused) > 0 || get(ports[1]) != "200 a" {
		t.Fatalf("healed: %+v, %s", st.Refused, get(ports[1]))
	}
	calls := load(t, ports[1])
	r.server.Replace(append(base, s.http("l0", ports[0], "r"), bad, s.http("l2", ports[2], "r")))
	if st := r.settle(); len(st.Refused) != 1 || st.Refused[0].Good == "" || get(ports[2]) != "200 a" {
		t.Fatalf("poisoned again: %+v, %s", st.Refused, get(ports[2]))
	}
	calls.more(t, 20)
	calls.none(t)
	// A new Envoy gets the good version too.
	_ = r.process.Process.Kill()
	_ = r.process.Wait()
	r.wait("gone", func(st Status) bool { return !st.Connected })
	r.start()
	if st := r.settle(); len(st.Refused) != 1 || get(ports[1]) != "200 a" {
		t.Errorf("a new envoy: %+v, %s", st.Refused, get(ports[1]))
	}
}

// TestEnvoyRefusesRoute: Envoy does not say which of many routes it does not like.
func TestEnvoyRefusesRoute(t *testing.T) {
	r, s := startReal(t), shapes{t}
	web := web(t, "a")
	var base, good, poisoned []*xds.Resource
	var ports []int
	base = append(base, s.cluster("a", time.Second), s.assignment("a", web))
	for i := range 9 {
		port, routes := envoytest.FreePort(t), fmt.Sprint("r", i)
		ports = append(ports, port)
		base = append(base, s.http(fmt.Sprint("l", i), port, routes))
		good = append(good, s.routes(routes, "a", "/.*"))
		pattern := fmt.Sprint("/.*|/", i)
		if i == 3 || i == 4 {
			pattern = "("
		}
		poisoned = append(poisoned, s.routes(routes, "a", pattern))
	}
	r.server.Replace(append(base, good...))
	if st := r.settle(); len(st.Refused) > 0 {
		t.Fatalf("refused: %+v", st.Refused)
	}
	r.server.Replace(append(base, poisoned...))
	st := r.settle()
	if len(st.Refused) != 2 || st.Refused[0].Key.Name != "r3" || st.Refused[1].Key.Name != "r4" || st.Refused[0].Good != good[3].Version {
		t.Fatalf("refused: %+v", st.Refused)
	}
	t.Logf("found by %d refusals; envoy says: %s", st.Types[xds.Route].Nacked, st.Refused[0].Text)
	for i, port := range ports {
		if got := get(port); got != "200 a" {
			t.Errorf("listener %d answers %s", i, got)
		}
		if got := r.server.AckedVersion(poisoned[i].Key); (got == poisoned[i].Version) == (i == 3 || i == 4) {
			t.Errorf("routes %d are acknowledged as %s", i, got)
		}
	}
}

// TestEnvoyPortTaken: a port is somebody else's, then free. Envoy itself never tries
// again.
func TestEnvoyPortTaken(t *testing.T) {
	r, s := startReal(t), shapes{t}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	port, free := other.Addr().(*net.TCPAddr).Port, envoytest.FreePort(t)
	r.server.Replace([]*xds.Resource{
		s.cluster("a", time.Second), s.assignment("a", web(t, "a")), s.routes("r", "a", "/.*"),
		s.http("l0", port, "r"), s.http("l1", free, "r"),
	})
	st := r.wait("refused", func(st Status) bool { return len(st.Refused) == 1 && st.Settled })
	if st.Refused[0].Key.Name != "l0" || st.Refused[0].Retry.IsZero() || get(free) != "200 a" {
		t.Fatalf("refused: %+v, %s", st.Refused, get(free))
	}
	t.Logf("envoy says: %s", st.Refused[0].Text)
	other.Close()
	r.wait("taken", func(st Status) bool { return len(st.Refused) == 0 && st.Settled })
	if got := get(port); got != "200 a" {
		t.Errorf("the port answers %s", got)
	}
}

// TestEnvoyWarms: a cluster changes, its endpoints do not. Envoy waits for them all
// the same, and holds back every acknowledgement of clusters until they come.
func TestEnvoyWarms(t *testing.T) {
	r, s := startReal(t), shapes{t}
	port, web := envoytest.FreePort(t), web(t, "a")
	config := func(i int) []*xds.Resource {
		all := []*xds.Resource{s.routes("r", "a", "/.*"), s.http("l", port, "r"), s.assignment("a", web), s.cluster("a", time.Second+time.Duration(i)*time.Millisecond)}
		for n := range 10 {
			name := fmt.Sprint("more", n)
			all = append(all, s.assignment(name, web), s.cluster(name, time.Second+time.Duration(i)*time.Millisecond))
		}
		return all
	}
	r.server.Replace(config(0))
	r.settle()
	calls := load(t, port)
	start := time.Now()
	for i := range 10 {
		r.server.Replace(config(i + 1))
		r.settle()
	}
	if took := time.Since(start); took >= fetchTimeout {
		t.Errorf("ten changes took %v", took)
	} else {
		t.Logf("ten changes of 11 clusters took %v", took)
	}
	// Not waiting in between either.
	for i := range 10 {
		r.server.Replace(config(i + 20))
	}
	r.settle()

	// The assignments are lost with the stream: the cluster warms, so Envoy does not
	// ask for clusters on the next one, and says that it has the assignments.
	r.stop()
	lossy := r.lose(xds.Assignment, config(40))
	r.wait("warming", func(st Status) bool { return len(st.Warming) > 0 })
	lossy()
	r.serve(config(40))
	st := r.settle()
	if got := st.Types[xds.Assignment].Resources; got == 0 {
		t.Error("no assignments were sent")
	}
	r.server.Replace(config(41))
	r.settle()
	calls.none(t)
}
