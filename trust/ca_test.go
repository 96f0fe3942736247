package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var testNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// must is a value of a step that a test is not about.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newTestRoot(t testing.TB) (Root, Bundle) {
	t.Helper()
	root := must(NewRoot("shop", testNow))(t)
	return root, must(NewBundle(root.Domain, root.Certificate))(t)
}

func newTestAuthority(t testing.TB, root Root, host string, now time.Time) Authority {
	t.Helper()
	bundle := must(NewBundle(root.Domain, root.Certificate))(t)
	request := must(NewAuthorityRequest(host))(t)
	signed := must(root.SignAuthority(request.PEM(), host, IntermediateTTL, now))(t)
	return must(request.Accept(signed, bundle, now))(t)
}

func newTestLeaf(t testing.TB, a Authority, service string, now time.Time) Leaf {
	t.Helper()
	key := must(NewLeafKey(service))(t)
	chain := must(a.SignLeaf(Order{Service: service, Request: key.Request, Mesh: "mesh", TTL: 72 * time.Hour}, now))(t)
	return must(key.Join(chain, a.Domain))(t)
}

func TestRootIsSealedAndNamesTheTrustDomain(t *testing.T) {
	root, _ := newTestRoot(t)
	if len(root.Fingerprint()) != len("SHA256:")+43 || !strings.HasPrefix(root.String(), "shop CA (root ") || root.Domain.Fleet() != "shop" {
		t.Errorf("root %s, %s, of %s", root, root.Fingerprint(), root.Domain)
	}
	if !strings.HasPrefix(string(root.Domain), "shop-") || !strings.HasSuffix(string(root.Domain), ".nixmesh") || len(root.Domain) != len("shop-3fa9c1d2.nixmesh") {
		t.Errorf("trust domain %q", root.Domain)
	}
	file := filepath.Join(t.TempDir(), "anna")
	recipient := must(GenerateAgeIdentity(file))(t)
	sealed := must(root.Seal([]string{recipient}))(t)
	if bytes.Contains(sealed, []byte("PRIVATE KEY")) {
		t.Error("the root is in the clear")
	}
	again := must(OpenRoot(sealed, must(LoadAgeIdentity(file, nil))(t)))(t)
	if again.Domain != root.Domain || again.Fingerprint() != root.Fingerprint() || !again.key.Equal(root.key) {
		t.Error("the root came back as another one")
	}
	if life := LifeOf(root.Certificate); life.Until.Sub(testNow) != RootTTL {
		t.Errorf("root lives until %s", life.Until)
	}
}

func TestParseRootRefuses(t *testing.T) {
	root, _ := newTestRoot(t)
	other, _ := newTestRoot(t)
	secret, otherSecret := must(root.Secret())(t), must(other.Secret())(t)
	key, _, _ := bytes.Cut(otherSecret, []byte("-----BEGIN CERT"))
	authority := must(newTestAuthority(t, root, "db1", testNow).Secret())(t)
	for name, text := range map[string][]byte{
		"empty":           nil,
		"key only":        key,
		"another key":     append(bytes.Clone(key), EncodeCertificates(root.Certificate)...),
		"an intermediate": authority,
		"two roots":       append(bytes.Clone(secret), EncodeCertificates(other.Certificate)...),
		"text before":     append([]byte("hello\n"), secret...),
		"text after":      append(bytes.Clone(secret), "hello\n"...),
		"cut off":         secret[:len(secret)-20],
		"huge":            bytes.Repeat(secret, 100),
	} {
		if _, err := ParseRoot(text); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: the error quotes the key: %v", name, err)
		}
	}
}

func TestAuthorityHasOneHostAndOneDomain(t *testing.T) {
	root, bundle := newTestRoot(t)
	other, otherBundle := newTestRoot(t)
	request := must(NewAuthorityRequest("db1"))(t)
	request = must(ParseAuthorityRequest(must(request.Secret())(t), "db1"))(t)
	signed := must(root.SignAuthority(request.PEM(), "db1", IntermediateTTL, testNow))(t)
	a := must(request.Accept(signed, bundle, testNow))(t)
	if got := must(ParseAuthority(must(a.Secret())(t), "db1", root.Domain))(t); !got.Certificate.Equal(a.Certificate) || got.String() != "shop CA (db1)" {
		t.Errorf("kept as %s", got)
	}
	c := a.Certificate
	if c.MaxPathLen != 0 || !c.MaxPathLenZero || !slices.Equal(c.PermittedURIDomains, []string{string(root.Domain)}) || !c.PermittedDNSDomainsCritical {
		t.Errorf("intermediate may do too much: %d %v", c.MaxPathLen, c.PermittedURIDomains)
	}
	if c.NotAfter.Sub(testNow) != 365*day || c.NotBefore.Sub(testNow) != -Backdate {
		t.Errorf("intermediate from %s to %s", c.NotBefore, c.NotAfter)
	}
	foreign := must(other.SignAuthority(request.PEM(), "db1", IntermediateTTL, testNow))(t)
	short := must(root.SignAuthority(request.PEM(), "db1", time.Hour, testNow))(t)
	for name, test := range map[string]struct {
		err  error
		want error
	}{
		"another host's request": {second(root.SignAuthority(request.PEM(), "db2", IntermediateTTL, testNow)), ErrForm},
		"no request":             {second(root.SignAuthority(signed, "db1", IntermediateTTL, testNow)), ErrForm},
		"a request and more":     {second(root.SignAuthority(append(bytes.Clone(request.PEM()), 'x'), "db1", IntermediateTTL, testNow)), ErrForm},
		"root expired":           {second(root.SignAuthority(request.PEM(), "db1", IntermediateTTL, testNow.Add(RootTTL+day))), ErrTime},
		"no time":                {second(root.SignAuthority(request.PEM(), "db1", 0, testNow)), ErrTime},
		"another fleet's":        {second(request.Accept(foreign, bundle, testNow)), ErrIdentity},
		"another fleet's bundle": {second(request.Accept(signed, otherBundle, testNow)), ErrIdentity},
		"expired":                {second(request.Accept(short, bundle, testNow.Add(2*time.Hour))), ErrExpired},
		"another key":            {second(must(NewAuthorityRequest("db1"))(t).Accept(signed, bundle, testNow)), ErrForm},
		"another host":           {second(must(NewAuthorityRequest("db2"))(t).Accept(signed, bundle, testNow)), ErrForm},
		"a root as intermediate": {second(request.Accept(EncodeCertificates(root.Certificate), bundle, testNow)), ErrForm},
	} {
		if !errors.Is(test.err, test.want) {
			t.Errorf("%s: %v, want %v", name, test.err, test.want)
		}
	}
}

// second is the error of a call.
func second[T any](_ T, err error) error { return err }

func TestIntermediateEndsWithItsRoot(t *testing.T) {
	root, _ := newTestRoot(t)
	now := testNow.Add(RootTTL - 10*day)
	a := newTestAuthority(t, root, "db1", now)
	if !a.Certificate.NotAfter.Equal(root.Certificate.NotAfter) {
		t.Errorf("intermediate until %s, root until %s", a.Certificate.NotAfter, root.Certificate.NotAfter)
	}
	leaf := newTestLeaf(t, a, "api", now.Add(8*day))
	if !leaf.Chain.Life().Until.Equal(root.Certificate.NotAfter) {
		t.Errorf("leaf until %s", leaf.Chain.Life().Until)
	}
}

func TestRequestsHaveKeysOnP256(t *testing.T) {
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	raw := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, private))(t)
	if _, _, err := parseRequest(raw); !errors.Is(err, ErrForm) {
		t.Errorf("ed25519: %v", err)
	}
	good := must(NewLeafKey("api"))(t).Request
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, _, err := parseRequest(bad); err == nil {
			t.Fatalf("byte %d of the request may be changed", i)
		}
	}
}

// Two roots serve at once, so that at no moment of a rotation a chain is
// refused by somebody.
func TestRootRotationHasNoGap(t *testing.T) {
	old, oldBundle := newTestRoot(t)
	next := must(NextRoot("shop", old.Domain, testNow.Add(day)))(t)
	if next.Domain != old.Domain || next.Fingerprint() == old.Fingerprint() {
		t.Fatalf("next root %s of %s", next, next.Domain)
	}
	now := testNow.Add(2 * day)
	before, after := newTestAuthority(t, old, "db1", now), newTestAuthority(t, next, "db1", now)
	oldLeaf, newLeaf := newTestLeaf(t, before, "api", now), newTestLeaf(t, after, "api", now)
	both := must(oldBundle.Add(next.Certificate))(t)
	again := must(both.Add(old.Certificate))(t)
	if !bytes.Equal(both.PEM(), again.PEM()) || len(again.Roots()) != 2 {
		t.Error("a root counts twice")
	}
	parsed := must(ParseBundle(both.PEM(), old.Domain))(t)
	only := must(parsed.Drop(old.Fingerprint()))(t)
	for _, step := range []struct {
		name     string
		bundle   Bundle
		old, new error
	}{
		{"before", oldBundle, nil, ErrUnknownRoot},
		{"added", parsed, nil, nil},
		{"dropped", only, ErrUnknownRoot, nil},
	} {
		if _, err := step.bundle.Verify(oldLeaf.Chain, now); !errors.Is(err, step.old) {
			t.Errorf("%s: old chain: %v, want %v", step.name, err, step.old)
		}
		if _, err := step.bundle.Verify(newLeaf.Chain, now); !errors.Is(err, step.new) {
			t.Errorf("%s: new chain: %v, want %v", step.name, err, step.new)
		}
	}
	if _, err := only.Drop(next.Fingerprint()); err == nil {
		t.Error("the last root was dropped")
	}
	if _, err := only.Drop(old.Fingerprint()); err == nil {
		t.Error("a root was dropped twice")
	}
}

func TestBundleRefuses(t *testing.T) {
	root, bundle := newTestRoot(t)
	other, _ := newTestRoot(t)
	a := newTestAuthority(t, root, "db1", testNow)
	key := must(root.Secret())(t)
	for name, text := range map[string][]byte{
		"nothing":         nil,
		"an intermediate": EncodeCertificates(a.Certificate),
		"a key":           key,
		"a comment":       append([]byte("# shop\n"), bundle.PEM()...),
		"headers":         pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Headers: map[string]string{"a": "b"}, Bytes: root.Certificate.Raw}),
		"nine roots":      bytes.Repeat(bundle.PEM(), 9),
	} {
		if _, err := ParseBundle(text, root.Domain); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := bundle.Add(other.Certificate); !errors.Is(err, ErrIdentity) {
		t.Errorf("another fleet's root: %v", err)
	}
}
