package controlplane

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/gossip"
	"github.com/nixmesh/nixmesh/internal/testkit/envoytest"
)

// testPatience is after how long a test gives up what a machine with other work may
// take its time for.
const testPatience = 2 * time.Minute

// realWorld is a fleet on this machine's own network, all of whose agents run.
func realWorld(t testing.TB, hosts int, notify func(state string)) *world {
	t.Helper()
	w := newWorld(t, quickFolder(t), hosts)
	w.stopTime = testPatience
	gossipPort, syncPort := uint16(envoytest.FreePort(t)), uint16(envoytest.FreePort(t))
	for i, name := range w.names {
		m := w.hosts[name]
		m.addr = netip.AddrFrom4([4]byte{127, 77, byte(1 + os.Getpid()%255), byte(10 + i)}) // tests of xds have 127.77.0.0/24
		w.config.Hosts[name].Address = m.addr.String()
		m.change = func(o *Options) {
			o.Network, o.GossipPort, o.SyncPort = gossip.Machine(), gossipPort, syncPort
			o.RuntimeDir, o.noWatch, o.Notify = m.file("run"), false, notify
			o.bounds = bounds{hollow: time.Minute, admin: time.Minute, drainSaid: time.Minute, drainTold: time.Minute, drainQuiet: time.Minute}
		}
	}
	t.Cleanup(func() {
		for _, m := range w.hosts {
			m.stop()
		}
	})
	w.startAll()
	return w
}

// BenchmarkIdle is what an agent of a fleet of five costs while nothing happens,
// on this machine's own network: one round is ten seconds.
func BenchmarkIdle(b *testing.B) {
	w := realWorld(b, 5, func(string) {})
	d := w.sign("anna", nil, nil)
	for _, name := range w.names {
		w.put(name, d)
	}
	w.eventually(30*time.Second, w.whole)
	time.Sleep(5 * time.Second) // until all that began has ended
	used := func() (cpu time.Duration, sent uint64) {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		for _, m := range w.hosts {
			sent += m.agent.fleet.sync.Load().Stats().SentBytes + m.agent.fleet.gossip.Load().Stats().SentBytes
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano()), sent
	}
	before, bytes := used()
	started := time.Now()
	for range b.N {
		time.Sleep(10 * time.Second)
	}
	after, more := used()
	took := time.Since(started).Seconds() * float64(len(w.hosts))
	b.ReportMetric(100*(after-before).Seconds()/took, "%core/agent")
	b.ReportMetric(float64(more-bytes)/took, "B/s/agent")
}

// Where an agent cannot listen it says what helps: the address that the
// configuration means is the deploy's to give, and who has a port is to be found.
func TestCannotListen(t *testing.T) {
	w := realWorld(t, 1, func(string) {})
	m := w.hosts["h000"]
	ports := []uint16{m.agent.opts.SyncPort, m.agent.opts.GossipPort}
	for _, port := range ports {
		defer must(net.Listen("tcp", netip.AddrPortFrom(m.addr, port).String()))(t).Close()
	}
	for address, next := range map[string][]string{
		m.addr.String(): {fmt.Sprintf("ss -tulnp sport = :%d", ports[0]), fmt.Sprintf("ss -tulnp sport = :%d", ports[1])},
		"192.0.2.77":    {"nixmesh deploy --on h000", "nixmesh deploy --on h000"},
	} {
		w.config.Hosts["h000"].Address = address
		w.apply("h000")
		for i, key := range []string{"sync", "gossip"} {
			m.agent.problems.mu.Lock()
			got := m.agent.problems.open[key]
			m.agent.problems.mu.Unlock()
			if got.Next != next[i] || !strings.Contains(got.What, address) {
				t.Errorf("%s at %s: %+v", key, address, got)
			}
		}
	}
}

// Two agents on this machine's own network, asked by their sockets.
func TestRealAgents(t *testing.T) {
	told := make(chan string, 100)
	w := realWorld(t, 2, func(state string) {
		select {
		case told <- state:
		default:
		}
	})
	if got := <-told; !strings.HasPrefix(got, "READY=1") {
		t.Errorf("told systemd %q", got)
	}
	client := agentapi.NewClient(func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(w.hosts["h000"].file("run"), socketName))
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := client.Ready(ctx); err == nil {
		t.Error("ready without a document")
	}
	for _, name := range w.names {
		w.put(name, w.sign("anna", nil, nil))
	}
	w.eventually(testPatience, w.whole)
	status, err := client.Status(ctx)
	if err != nil || len(status.Hosts) != 2 || status.Services[0].Ready != 2 {
		t.Errorf("status: %+v, %v", status, err)
	}
	if err := client.Ready(ctx); err != nil {
		t.Error(err)
	}
	text, err := client.Metrics(ctx)
	if err != nil || !strings.Contains(string(text), "nixmesh_gossip_members 2") {
		t.Errorf("metrics: %s, %v", text, err)
	}
	// Machines may scrape once the facts say so, and not any more when they do not.
	url := fmt.Sprintf("http://%s/metrics", netip.AddrPortFrom(w.hosts["h000"].addr, MetricsPort))
	get := func() string {
		answer, err := http.Get(url)
		if err != nil {
			return err.Error()
		}
		defer answer.Body.Close()
		return string(must(io.ReadAll(answer.Body))(t))
	}
	if got := get(); !strings.Contains(got, "refused") {
		t.Errorf("metrics before they are allowed: %.200s", got)
	}
	w.metrics = true
	w.hosts["h000"].writeFacts()
	w.eventually(testPatience, func() string {
		if got := get(); !strings.Contains(got, "nixmesh_gossip_members 2") {
			return got
		}
		return ""
	})
	w.metrics = false
	w.hosts["h000"].writeFacts()
	w.eventually(testPatience, func() string {
		if got := get(); !strings.Contains(got, "refused") {
			return got
		}
		return ""
	})
	started := time.Now()
	w.hosts["h001"].stop()
	if took := time.Since(started); took > time.Minute {
		t.Errorf("stopping took %s", took)
	}
	// Where this machine is slow nobody hears the good-bye, and it is missed.
	w.eventually(testPatience, func() string {
		if h := must(client.Status(ctx))(t).Hosts[1]; h.Gossip != agentapi.GossipLeft && h.Gossip != agentapi.GossipDead {
			return "an agent that stopped is " + h.Gossip
		}
		return ""
	})
}
