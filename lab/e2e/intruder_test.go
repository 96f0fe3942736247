package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/ca"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/sync"
	"github.com/nixmesh/nixmesh/trust"
)

// order is what an intruder asks of an authority: it sits on a host, has some
// host's node key, and speaks as an agent does.
type order struct {
	identity
	authority string // whom it asks
	of        string // the host for which the certificate would be
	service   string
}

// ask is one request for a certificate from a seat, with the signature of the
// node key.
func (o order) ask(ctx context.Context, from seat, at netip.AddrPort) (chain string, err error) {
	s, err := sync.New(sync.Options{Host: o.host, Key: o.key, Listen: netip.AddrPortFrom(from.addr, 7999), Network: from, Catalog: silent{}, Nodes: trusting{o.cert},
		Protocols: catalog.Protocols{Min: 1, Max: 1}})
	if err != nil {
		return "", err
	}
	if err := s.Start(ctx); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Stop(context.WithoutCancel(ctx))) }()
	s.SetHosts(map[string]netip.AddrPort{o.authority: at})
	nonce, err := s.Call(ctx, o.authority, "ca/challenge", nil)
	if err != nil {
		return "", fmt.Errorf("challenge: %w", err)
	}
	leaf, err := trust.NewLeafKey(o.service)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(ca.Request{Schema: "nixmesh.certificate/1", Authority: o.authority, Host: o.of, Service: o.service,
		NodeCert: string(o.cert.Text()), Key: leaf.Request, Nonce: nonce})
	if err != nil {
		return "", err
	}
	signed, err := json.Marshal(ca.SignedRequest{Body: body, Signature: o.key.Sign(trust.PurposeCertificate, body)})
	if err != nil {
		return "", err
	}
	raw, err := s.Call(ctx, o.authority, "ca/issue", signed)
	if err != nil {
		return "", fmt.Errorf("issue: %w", err)
	}
	answer, err := ca.ParseAnswer(raw)
	if err == nil && answer.Refusal != nil {
		err = fmt.Errorf("refused: %w", answer.Refusal)
	}
	return answer.Chain, err
}

// silent says nothing of a catalog, and hears nothing.
type silent struct{}

func (silent) Digest(time.Time) *catalog.Digest                           { return &catalog.Digest{} }
func (silent) OpenDigest([]byte) (*catalog.Digest, error)                 { return nil, errors.New("not heard") }
func (silent) SealDigest(*catalog.Digest) ([]byte, error)                 { return nil, errors.New("not said") }
func (silent) Delta(time.Time, *catalog.Digest, int) *catalog.Delta       { return &catalog.Delta{} }
func (silent) Merge(time.Time, string, *catalog.Delta) (r catalog.Result) { return r }

// trusting believes every node certificate.
type trusting struct{ own trust.NodeCert }

func (trusting) Admit(string, trust.NodeCert) error { return nil }
func (t trusting) Own() trust.NodeCert              { return t.own }

// intrude carries out an order from a host, and gives what came of it.
func (f *fleet) intrude(t *testing.T, on string, o order) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lineTimeout)
	defer cancel()
	chain, err := o.ask(ctx, f.seat(on), netip.AddrPortFrom(f.seat(o.authority).addr, sync.DefaultPort))
	said := fmt.Sprintf("%d bytes of certificates, %v", len(chain), err)
	t.Logf("%s on %s asks %s for %s of %s: %s", o.host, on, o.authority, o.service, o.of, said)
	return said
}

// testRefusals: an authority signs for a host what runs there, by its newest node
// key, and nothing else.
func (f *fleet) testRefusals(t *testing.T) {
	own := f.steal(t, "h3")
	until(t, "h3 gets from h1 what it may have", func() bool {
		return strings.HasSuffix(f.intrude(t, "h3", order{own, "h1", "h3", "web"}), "<nil>")
	})
	asH2 := own
	asH2.host = "h2"
	for _, c := range []struct {
		what, want string
		o          order
	}{
		{"a service that is not placed there", "refused: placement", order{own, "h1", "h3", "only"}},
		{"a service of another host", "refused: nonce", order{own, "h1", "h1", "only"}},
		{"a host that is no authority", "refused: authority", order{f.steal(t, "h2"), "h3", "h2", "web"}},
		{"to be another host", "refused: nonce", order{asH2, "h1", "h2", "web"}},
	} {
		from := "h3"
		if c.o.authority == "h3" {
			from = "h2"
		}
		if said := f.intrude(t, from, c.o); !strings.Contains(said, c.want) || !strings.HasPrefix(said, "0 bytes") {
			t.Errorf("%s: want %q, got %s", c.what, c.want, said)
		}
	}
	// Stolen from h3, which gets another one; the thief sits on h2.
	f.ssh("h3", "rm /var/lib/nixmesh/node/node.key && systemctl restart nixmesh-nodekey.service && systemctl restart "+agentUnit).want(t, 0)
	f.losesLeaf(t, "h3", "web") // h1 or h2 hears of the new key with the request
	f.wantLeaf(t, "h3", "web", nil)
	f.wantConvened(t)
	for _, from := range []string{"h2", "h3"} {
		until(t, "h1 hears nobody with the stolen key on "+from, func() bool {
			said := f.intrude(t, from, order{own, "h1", "h3", "web"})
			return strings.HasPrefix(said, "0 bytes") && strings.Contains(said, "challenge:")
		})
	}
}

// testRemovedAuthority: what the lock names no more signs no more.
func (f *fleet) testRemovedAuthority(t *testing.T) {
	own := f.steal(t, "h3")
	ask := order{own, "h2", "h3", "web"}
	until(t, "h2 signs before", func() bool { return strings.HasSuffix(f.intrude(t, "h3", ask), "<nil>") })
	f.signs("h1", "h3")
	r := f.wantTaken(t, f.run("mesh", "apply", "-y")).says(t, "h3  note  signs certificates as e2e CA (h3)")
	for _, line := range []string{`(?m)^ +\+ authority +h3 +can issue any identity`, `(?m)^ +- authority +h2 +can issue any identity`} {
		if !regexp.MustCompile(line).MatchString(r.stdout) {
			t.Errorf("no line %s in %s", line, r)
		}
	}
	if said := f.intrude(t, "h3", ask); !strings.HasPrefix(said, "0 bytes") || !strings.Contains(said, "refused: authority") {
		t.Errorf("after: %s", said)
	}
	f.losesLeaf(t, "h2", "web")
	f.wantLeaf(t, "h2", "web", func(leaf agentapi.Cert) bool { return leaf.Issuer != "e2e CA (h2)" })
	f.run("ca", "status").want(t, 0).says(t, "e2e CA (h1)", "e2e CA (h3)")
}
