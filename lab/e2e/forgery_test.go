package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	gosync "sync"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/sync"
	"github.com/nixmesh/nixmesh/trust"
)

// Metrics that count what was refused.
const (
	refusedBySync    = "nixmesh_sync_refused_total"
	refusedByGossip  = "nixmesh_gossip_refused_total"
	refusedByCatalog = "nixmesh_catalog_refused_records_total"
)

// intrusion is a fleet in which somebody has root on h2.
type intrusion struct {
	*fleet
	from   seat // h2
	h1, h3 *victim
}

// TestForgery: whoever has root on a host can speak for that host, and for
// nobody else; what he sends besides is refused, counted and told, and the other
// agents go on.
func TestForgery(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1", "h2", "h3")
	f.deploy().want(t, 0)
	f.wantWhole(t)
	i := &intrusion{f, f.seat("h2"), f.victim(t, "h1"), f.victim(t, "h3")}
	for _, c := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"records", i.testRecords},
		{"overrides", i.testOverrides},
		{"garbage", i.testGarbage},
		{"silence and crowds", i.testCrowds},
		{"foreign addresses", i.testForeign},
		{"stolen node keys", i.testStolenKeys},
		{"documents by the API", i.testDocuments},
		{"documents of a peer", i.testPeerDocuments},
		{"gossip", i.testGossip},
	} {
		if !t.Run(c.name, c.run) {
			t.Logf("%s", i.h3.log())
		}
		if c.name == "documents by the API" {
			// From here on the intruder runs an agent of his own on h2.
			f.ssh("h2", "systemctl stop nixmesh-agent.socket "+agentUnit).want(t, 0)
		}
	}
	f.ssh("h2", "systemctl start nixmesh-agent.socket "+agentUnit).want(t, 0)
	f.wantConvened(t)
	i.h1.wantWell(t)
	i.h3.wantWell(t)
}

// testRecords: records of h1 that h1 did not sign, or that it signed before.
func (i *intrusion) testRecords(t *testing.T) {
	own, config := i.steal(t, "h2"), i.h3.document(t).Config
	key, err := trust.GenerateNodeKey()
	if err != nil {
		t.Fatal(err)
	}
	stranger := identity{host: "h1", key: key}
	l := i.from.line(t, i.h3.seat, own)
	for _, c := range []struct {
		what, log string
		delta     *catalog.Delta
	}{
		{"h1's, signed by h2", "owner=h1", forge(t, "h1", config, 1<<40, own.sign)},
		{"h1's, signed by nobody", "owner=h1", forge(t, "h1", config, 1<<41, stranger.sign)},
		{"h3's own, signed by h2", "owner=h3", forge(t, "h3", config, 1<<40, own.sign)},
		{"a host's that there is not", "owner=h9", forge(t, "h9", withHost(config, "h9"), 1, own.sign)},
	} {
		i.h3.refuses(t, refusedByCatalog, "", 1, c.log, func() {
			if taken, _ := l.trade(t, c.delta); taken != 0 {
				t.Errorf("%s: %d taken", c.what, taken)
			}
		})
	}
	i.h3.seesNow(t, "web", "h1", agentapi.EndpointHealthy)

	_, all := l.trade(t, &catalog.Delta{})
	replay := of("h1", all)
	i.ssh("h1", "systemctl stop web").want(t, 0)
	i.h3.sees(t, "web", "h1", agentapi.EndpointUnhealthy)
	if taken, _ := l.trade(t, replay); taken != 0 || len(replay.Parts) == 0 {
		t.Errorf("%d of the old records of h1 were taken, %+v", taken, replay)
	}
	i.h3.seesNow(t, "web", "h1", agentapi.EndpointUnhealthy)
	i.ssh("h1", "systemctl start web").want(t, 0)
	i.h3.sees(t, "web", "h1", agentapi.EndpointHealthy)
}

// testGarbage: requests that make no sense, by a host that may speak.
func (i *intrusion) testGarbage(t *testing.T) {
	own := i.steal(t, "h2")
	garbage := bytes.Repeat([]byte{0xff, 0x07, 0x80}, 1500)
	digest, err := (&catalog.Digest{Host: "h2", At: time.Now()}).Encode(own.sign)
	if err != nil {
		t.Fatal(err)
	}
	others, err := (&catalog.Digest{Host: "h1", At: time.Now()}).Encode(own.sign)
	if err != nil {
		t.Fatal(err)
	}
	names, err := json.Marshal(strings.Fields(strings.Repeat("h1 ", 100_000)))
	if err != nil {
		t.Fatal(err)
	}
	l := i.from.line(t, i.h3.seat, own)
	const bad = http.StatusBadRequest
	for _, c := range []struct {
		what, path string
		body       []byte
		status     int
	}{
		{"no trade", "/trade", garbage, bad},
		{"no digest", "/trade", trade(garbage, nil), bad},
		{"another host's digest", "/trade", trade(others, (&catalog.Delta{}).Encode()), bad},
		{"no delta", "/trade", trade(digest, garbage), bad},
		{"a huge delta", "/trade", trade(digest, make([]byte, 5<<20)), bad},
		{"a hash that is none", "/compare", garbage, bad},
		{"a huge question", "/call/document", make([]byte, 2<<20), bad},
		{"a second hello", "/hello", hello(1, 1), bad},
		{"no names", "/call/nodes", garbage, http.StatusUnprocessableEntity},
		{"too many names", "/call/nodes", names, http.StatusOK},
		{"no certificate request", "/call/ca/issue", garbage, http.StatusUnprocessableEntity},
		{"no document's hash", "/call/document", garbage, http.StatusUnprocessableEntity},
		{"no method", "/call/root-shell", nil, http.StatusNotFound},
		{"no path", "/etc/passwd", nil, http.StatusNotFound},
	} {
		least := 0.0
		if c.status == bad {
			least = 1
		}
		i.h3.refuses(t, refusedBySync, `"bad_request"`, least, "", func() {
			status, answer, err := l.post(c.path, bytes.NewReader(c.body))
			if err != nil || status != c.status {
				t.Errorf("%s: answered with %d %.200q, %v; want %d", c.what, status, answer, err, c.status)
			}
		})
	}
	for what, frame := range map[string][]byte{
		"a huge frame":          {0xff, 0xff, 0xff, 0xff, 0x7f},
		"a length without end":  bytes.Repeat([]byte{0xff}, 20),
		"a frame that is none":  append([]byte{0x04}, "none"...),
		"frames that are empty": make([]byte, 1000),
	} {
		i.h3.refuses(t, refusedBySync, `"bad_request"`, 1, "", func() {
			if status, _, err := l.post("/push", bytes.NewReader(frame)); err != nil || status != http.StatusOK {
				t.Errorf("%s: answered with %d, %v", what, status, err)
			}
		})
	}
	for _, first := range map[string][]byte{"no hello": make([]byte, 100), "a hello without an end": hello(1, 1)[:4], "protocols the wrong way round": hello(2, 1)} {
		l, err := i.from.call(i.from.addr, i.h3.seat, own)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.conn.Close() })
		i.h3.refuses(t, refusedBySync, `"bad_request"`, 2, "", func() {
			l.want(t, bad, "/hello", first)
			l.want(t, bad, "/compare", make([]byte, 16)) // nothing before hello
		})
	}
	i.h3.wantWell(t)
}

// testCrowds: connections on which nothing is said, and many at once.
func (i *intrusion) testCrowds(t *testing.T) {
	own := i.steal(t, "h2")
	at := netip.AddrPortFrom(i.h3.addr, sync.DefaultPort)
	silent, err := i.from.Dial(t.Context(), i.from.addr, at)
	if err != nil {
		t.Fatal(err)
	}
	ends := make(chan error, 1)
	go func() { ends <- hangsUp(silent, lineTimeout) }()
	i.from.line(t, i.h3.seat, own) // says hello, and then no more

	var crowd gosync.WaitGroup
	var mu gosync.Mutex
	var open []net.Conn
	i.h3.refuses(t, refusedBySync, `"too_many"`, 150, "", func() {
		for range 200 {
			crowd.Go(func() {
				if c, err := i.from.Dial(t.Context(), i.from.addr, at); err == nil {
					mu.Lock()
					defer mu.Unlock()
					open = append(open, c)
				}
			})
		}
		crowd.Wait()
	})
	began := time.Now()
	i.flip(t, "h1", i.h3)
	t.Logf("%d connections of h2 are open; h3 saw a service of h1 go and come in %.2f s", len(open), time.Since(began).Seconds())
	if err := <-ends; err != nil {
		t.Errorf("a connection on which nothing is said: %v", err)
	}
	for _, c := range open {
		if err := hangsUp(c, lineTimeout); err != nil {
			t.Fatalf("one of the crowd: %v", err)
		}
		c.Close()
	}
	// Exchanges that are begun and never ended keep nobody else waiting.
	slow := i.from.line(t, i.h3.seat, own)
	var begun gosync.WaitGroup
	i.h3.refuses(t, refusedBySync, `"too_many"`, 5, "", func() {
		for range 10 {
			body, _ := io.Pipe()
			begun.Go(func() { _, _, _ = slow.post("/trade", body) }) // refused, or cut below
		}
	})
	began = time.Now()
	if taken, all := i.h1.line(t, i.h3.seat, i.steal(t, "h1")).trade(t, &catalog.Delta{}); taken != 0 || all.Empty() {
		t.Errorf("h1 hears %+v", all)
	}
	t.Logf("beside them h1 had its exchange in %.2f s", time.Since(began).Seconds())
	slow.conn.Close()
	begun.Wait()

	for range 20 { // which prove who they are
		i.from.line(t, i.h3.seat, own)
	}
	i.flip(t, "h1", i.h3)
	n := strings.TrimSpace(i.ssh("h3", fmt.Sprintf("ss -Htn state established '( sport = :%d and dst %s )' | wc -l", sync.DefaultPort, i.from.addr)).want(t, 0).stdout)
	if most, err := strconv.Atoi(n); err != nil || most > 8 {
		t.Errorf("h3 keeps %s connections of h2", n)
	}
	i.h3.wantWell(t)
}

// testForeign: addresses that no host of the mesh has, and node keys at another
// host's.
func (i *intrusion) testForeign(t *testing.T) {
	own := i.steal(t, "h2")
	b := i.from.addr.As4()
	b[3] = 99
	foreign := netip.AddrFrom4(b)
	device := strings.TrimSpace(i.ssh("h2", fmt.Sprintf("ip -o -4 address show to %s | awk '{print $2}'", i.from.addr)).want(t, 0).stdout)
	i.ssh("h2", fmt.Sprintf("ip address add %s/24 dev %s", foreign, device)).want(t, 0)
	i.ssh("h3", fmt.Sprintf("nft list ruleset | grep -q 'dport %d'", sync.DefaultPort)).want(t, 0)
	before := i.h3.counted(t, refusedBySync, "")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if c, err := i.from.Dial(ctx, foreign, netip.AddrPortFrom(i.h3.addr, sync.DefaultPort)); !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the firewall of h3 answers a foreign address: %v, %v", c, err)
	}
	if after := i.h3.counted(t, refusedBySync, ""); after != before {
		t.Errorf("the agent of h3 heard of it: %.0f, then %.0f", before, after)
	}
	i.ssh("h3", fmt.Sprintf("nft insert rule inet nixos-fw input ip saddr %s accept", foreign)).want(t, 0)
	i.h3.refuses(t, refusedBySync, `"foreign_address"`, 1, foreign.String(), func() {
		l, err := i.from.call(foreign, i.h3.seat, own)
		if err != nil {
			return // at once
		}
		defer l.conn.Close()
		if status, _, err := l.post("/hello", bytes.NewReader(hello(1, 1))); err == nil {
			t.Errorf("a foreign address is answered with %d", status)
		}
	})
	i.h3.wantWell(t)
}

// testStolenKeys: the node key of h1, in other hands.
func (i *intrusion) testStolenKeys(t *testing.T) {
	stolen, config := i.steal(t, "h1"), i.h3.document(t).Config
	refused := func(from seat, reason string) {
		i.h3.refuses(t, refusedBySync, reason, 1, "", func() {
			l, err := from.call(from.addr, i.h3.seat, stolen)
			if err != nil {
				return // at once
			}
			defer l.conn.Close()
			if status, answer, err := l.post("/hello", bytes.NewReader(hello(1, 1))); err == nil {
				t.Errorf("h1's key at %s is answered with %d %q", from.addr, status, answer)
			}
		})
	}
	refused(i.from, `"wrong_host"`)

	// What it signs counts as long as the key does. But h1 hears of it, and says
	// what is true in a later epoch.
	l := i.from.line(t, i.h3.seat, i.steal(t, "h2"))
	if taken, _ := l.trade(t, forge(t, "h1", config, 1<<40, stolen.sign)); taken == 0 {
		t.Error("h1's own signature does not count")
	}
	began := time.Now()
	until(t, "h1 says that it was somebody else", func() bool { return strings.Contains(i.h1.log(), "peers know a later epoch") })
	i.h3.sees(t, "web", "h1", agentapi.EndpointHealthy)
	t.Logf("what was signed with h1's key was undone after %.2f s", time.Since(began).Seconds())

	i.ssh("h1", "rm /var/lib/nixmesh/node/node.key && systemctl restart nixmesh-nodekey.service && systemctl restart "+agentUnit).want(t, 0)
	i.h1.pid = i.agentPID("h1")
	i.wantConvened(t)
	refused(i.from, `"wrong_host"`)
	renewed := i.steal(t, "h1").cert.Text()
	until(t, "h3 knows the new node key of h1", func() bool {
		var known []string
		if err := json.Unmarshal(l.want(t, http.StatusOK, "/call/nodes", []byte(`["h1"]`)), &known); err != nil {
			t.Fatal(err)
		}
		return slices.Equal(known, []string{string(renewed)})
	})
	refused(i.h1.seat, `"bad_node"`)
	i.h3.refuses(t, refusedByCatalog, "", 1, "not the owner's", func() {
		if taken, _ := l.trade(t, forge(t, "h1", config, 1<<42, stolen.sign)); taken != 0 {
			t.Errorf("%d records under the old key were taken", taken)
		}
	})
	i.h1.wantWell(t)
	i.h3.wantWell(t)
}
