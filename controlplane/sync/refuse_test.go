package sync

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/trust"
)

// stranger starts a node that others' tables do not have.
func (f *fleet) stranger(id *identity, change ...func(*Options)) *node {
	f.t.Helper()
	known := f.ids[id.name]
	f.ids[id.name] = id
	n := f.add(id.name, change...)
	delete(f.ids, id.name)
	if known != nil {
		f.ids[id.name] = known
	}
	return n
}

func TestForeignAddressIsRefused(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		a := f.add("h001")
		f.stranger(newIdentity(t, "h009", hostAddr(9)))
		f.refuses(a, ForeignAddress)
		if s := a.Stats(); s.ReceivedBytes > 0 || s.Inbound > 0 {
			t.Errorf("something was read of a stranger: %+v", s)
		}
	})
}

func TestUnknownHostIsRefused(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		a := f.add("h001")
		f.stranger(newIdentity(t, "h009", hostAddr(2)))
		f.refuses(a, UnknownHost)
		if s := a.Stats(); s.Inbound > 0 {
			t.Errorf("let in: %+v", s)
		}
	})
}

// TestWrongHostKeyIsRefused: the node certificate is signed, but not by the key
// that the fleet pins.
func TestWrongHostKeyIsRefused(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		a := f.add("h001")
		f.stranger(newIdentity(t, "h002", hostAddr(2)))
		f.refuses(a, BadNode)
		if s := a.Stats(); s.Inbound > 0 || s.Connected > 0 {
			t.Errorf("let in: %+v", s)
		}
	})
}

// TestReplacedNodeKeyIsRefused: who stole a node key cannot use it once the host
// has shown a newer one, neither to come nor to be dialled.
func TestReplacedNodeKeyIsRefused(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		stolen := *f.ids["h002"]
		f.ids["h002"].rekey(t)
		a := f.add("h001") // knows the newer certificate
		f.stranger(&stolen)
		f.refuses(a, BadNode)
		if s := a.Stats(); s.Inbound > 0 || s.Connected > 0 {
			t.Errorf("let in: %+v", s)
		}
	})
}

// TestNewerNodeKeySupersedes: connections of the old key end when the host shows
// the new one.
func TestNewerNodeKeySupersedes(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		a := f.add("h001")
		f.add("h002")
		f.eventually(10*time.Second, f.apart)
		old := f.nodes["h002"]
		renewed := *f.ids["h002"]
		renewed.rekey(t)
		renewed.addr = netip.AddrPortFrom(renewed.addr.Addr(), 8000) // beside the old one, which runs on
		f.stranger(&renewed)
		f.eventually(10*time.Second, func() string {
			a.Sync.mu.Lock()
			defer a.Sync.mu.Unlock()
			if len(a.Sync.peers["h002"].conns) == 0 {
				return "nobody is connected"
			}
			for c := range a.Sync.peers["h002"].conns {
				if c.node.Key != renewed.key.Public() {
					return "a connection of the old key is open"
				}
			}
			return ""
		})
		f.refuses(a, BadNode) // the old one comes again
		if err := old.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestWrongHostIsRefused: another host of the fleet at a host's address.
func TestWrongHostIsRefused(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, f *fleet) {
		a := f.add("h001")
		moved := *f.ids["h003"]
		moved.addr = hostAddr(2)
		f.stranger(&moved)
		f.refuses(a, WrongHost)
		for _, p := range a.Peers() {
			if p.Connected {
				t.Errorf("connected to %s", p.Host)
			}
		}
	})
}

// TestLostHostIsCutAtOnce: the connections of a host that the configuration
// loses are closed when SetHosts returns.
func TestLostHostIsCutAtOnce(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(10*time.Second, f.apart)
		a := f.nodes["h001"]
		hosts := f.others("h001")
		delete(hosts, "h002")
		a.SetHosts(hosts)
		if s := a.Stats(); s.Connected != 1 || s.Inbound != 1 || s.Hosts != 1 {
			t.Errorf("after SetHosts: %+v", s)
		}
		a.onEachMerge(func(from string) {
			if from == "h002" {
				t.Error("took something from a host that was cut")
			}
		})
		f.nodes["h002"].say("web", 1)
		f.refuses(a, ForeignAddress)
		if _, err := a.Call(t.Context(), "h002", "echo", nil); err == nil {
			t.Error("called a host that was cut")
		}
		a.onEachMerge(nil)
		a.SetHosts(f.others("h001"))
		f.eventually(retryMost+dialTimeout, f.same)
	})
}

// TestRekeyed: connections end, and whoever comes proves it again.
func TestRekeyed(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(10*time.Second, f.apart)
		a := f.nodes["h001"]
		a.Rekeyed("h002")
		synctest.Wait()
		if s := a.Stats(); s.Connected > 0 || s.Inbound > 0 {
			t.Errorf("still open: %+v", s)
		}
		f.eventually(10*time.Second, f.apart)
	})
}

// TestConnectionsOfOneHostAreBounded: one more closes the oldest.
func TestConnectionsOfOneHostAreBounded(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(10*time.Second, f.apart)
		a, b := f.nodes["h001"], f.nodes["h002"]
		b.Sync.mu.Lock()
		p := b.Sync.peers["h001"]
		b.Sync.mu.Unlock()
		for range 3 * maxInbound {
			l, err := b.dial(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			defer l.cut()
		}
		if got := a.Stats().Inbound; got > maxInbound {
			t.Errorf("%d connections of one host", got)
		}
	})
}

// TestSilentConnectionsAreBounded: who proves nothing is closed, and is not let
// in without end meanwhile.
func TestSilentConnectionsAreBounded(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		a := f.add("h001")
		from := f.net.Host(hostAddr(2).Addr())
		for range 5 * maxOpening {
			c, err := from.Dial(t.Context(), hostAddr(2).Addr(), hostAddr(1))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		f.refuses(a, TooMany)
		f.refuses(a, BadHandshake)
		time.Sleep(2 * shakeTimeout)
		f.add("h002")
		f.eventually(10*time.Second, f.same)
	})
}

// TestProvenNode: a node certificate is public, so it proves nothing by itself.
func TestProvenNode(t *testing.T) {
	id := newIdentity(t, "h001", hostAddr(1))
	other := newIdentity(t, "h002", hostAddr(2))
	certificate := func(key ed25519.PrivateKey, extension []byte) *x509.Certificate {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
		if extension != nil {
			template.ExtraExtensions = []pkix.Extension{{Id: oidNodeCert, Value: extension}}
		}
		raw := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(t)
		return must(x509.ParseCertificate(raw))(t)
	}
	own := must(makeCertificate(id.key.TLS(), id.cert))(t)
	good := must(x509.ParseCertificate(own.Certificate[0]))(t)
	if node, err := provenNode([]*x509.Certificate{good}); err != nil || node != id.cert {
		t.Errorf("good: %+v, %v", node, err)
	}
	text := func(c trust.NodeCert) []byte { return must(asn1.MarshalWithParams(string(c.Text()), "utf8"))(t) }
	private := id.key.TLS().(ed25519.PrivateKey)
	for name, certificates := range map[string][]*x509.Certificate{
		"none":           {},
		"two":            {good, good},
		"no extension":   {certificate(private, nil)},
		"not UTF-8":      {certificate(private, []byte{4, 1, 0})},
		"more behind":    {certificate(private, append(text(id.cert), 0))},
		"no certificate": {certificate(private, must(asn1.MarshalWithParams("nixmesh-node-cert 1\n", "utf8"))(t))},
		"another's":      {certificate(private, text(other.cert))},
	} {
		if _, err := provenNode(certificates); !errors.Is(err, errNoProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNodeKeyAtAnotherAddressIsRefused: who stole a node key cannot use it from
// another host.
func TestNodeKeyAtAnotherAddressIsRefused(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, f *fleet) {
		a := f.add("h001")
		stolen := *f.ids["h002"]
		stolen.addr = hostAddr(3)
		f.stranger(&stolen)
		f.refuses(a, WrongHost)
		if s := a.Stats(); s.Inbound > 0 {
			t.Errorf("let in: %+v", s)
		}
	})
}

// TestTradesAreBounded: a host that begins exchanges and ends none keeps nobody
// else from theirs.
func TestTradesAreBounded(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, f *fleet) {
		a := f.add("h001")
		b, c := f.add("h002"), f.add("h003")
		f.eventually(10*time.Second, f.same)
		l := b.kept("h001")
		ended := make(chan int)
		for range 2 * maxExchanges {
			go func() {
				body, _ := io.Pipe()
				resp, err := l.request(t.Context(), pathTrade, body)
				if err != nil {
					ended <- 0
					return
				}
				resp.Body.Close()
				ended <- resp.StatusCode
			}()
		}
		for range 2*maxExchanges - hostTrades {
			if status := <-ended; status != http.StatusTooManyRequests {
				t.Errorf("status %d", status)
			}
		}
		began := time.Now()
		digest := must(c.SealDigest(c.Digest(began)))(t)
		status, _, err := c.kept("h001").post(t.Context(), pathTrade, trade{digest: digest, delta: (&catalog.Delta{}).Encode()}.encode(), maxTrade)
		if err != nil || status != http.StatusOK || time.Since(began) > time.Second {
			t.Errorf("another host has to wait %s: %d, %v", time.Since(began), status, err)
		}
		for range hostTrades {
			<-ended // at its deadline
		}
		f.refuses(a, TooMany)
	})
}
