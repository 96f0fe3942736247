package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLeafIsOfOneService(t *testing.T) {
	root, bundle := newTestRoot(t)
	a := newTestAuthority(t, root, "db1", testNow)
	leaf := newTestLeaf(t, a, "api", testNow)
	c := leaf.Chain[0]
	if len(c.URIs) != 1 || c.URIs[0].String() != root.Domain.ServiceID("api") || c.DNSNames[0] != "api.mesh" || c.Subject.String() != "" {
		t.Errorf("leaf of %v %v %q", c.URIs, c.DNSNames, c.Subject)
	}
	if c.NotBefore.Sub(testNow) != -Backdate || c.NotAfter.Sub(testNow) != 72*time.Hour {
		t.Errorf("leaf from %s to %s", c.NotBefore, c.NotAfter)
	}
	if c.SerialNumber.Sign() <= 0 || c.SerialNumber.BitLen() != 127 {
		t.Errorf("serial number of %d bits", c.SerialNumber.BitLen())
	}
	again := must(ParseLeaf(must(leaf.Secret())(t), root.Domain))(t)
	if got, err := bundle.Verify(again.Chain, testNow); got != "api" || err != nil {
		t.Errorf("verified %q: %v", got, err)
	}
	parsed := must(ParseChain(leaf.Chain.PEM()))(t)
	if !parsed[0].Equal(c) || !parsed[1].Equal(a.Certificate) {
		t.Error("the chain's order changed")
	}
	for _, ttl := range []time.Duration{0, MinLeafTTL - 1, MaxLeafTTL + 1} {
		key := must(NewLeafKey("api"))(t)
		if _, err := a.SignLeaf(Order{Service: "api", Request: key.Request, TTL: ttl}, testNow); !errors.Is(err, ErrTime) {
			t.Errorf("a life of %s: %v", ttl, err)
		}
	}
	if _, err := a.SignLeaf(Order{Service: "api/../x", Request: leaf.key.Request, TTL: day}, testNow); err == nil {
		t.Error("signed a name that is none")
	}
}

func TestVerifyHoldsEveryTime(t *testing.T) {
	root, bundle := newTestRoot(t)
	a := newTestAuthority(t, root, "db1", testNow)
	leaf := newTestLeaf(t, a, "api", testNow)
	end := newTestLeaf(t, a, "api", testNow.Add(365*day-time.Hour))
	for name, test := range map[string]struct {
		chain Chain
		at    time.Time
		want  error
	}{
		"at once":                 {leaf.Chain, testNow, nil},
		"clock 5 min slow":        {leaf.Chain, testNow.Add(-Backdate), nil},
		"clock 6 min slow":        {leaf.Chain, testNow.Add(-6 * time.Minute), ErrNotYet},
		"clock a day slow":        {leaf.Chain, testNow.Add(-day), ErrNotYet},
		"last second":             {leaf.Chain, testNow.Add(72 * time.Hour), nil},
		"expired":                 {leaf.Chain, testNow.Add(72*time.Hour + time.Second), ErrExpired},
		"months later":            {leaf.Chain, testNow.Add(400 * day), ErrExpired},
		"before the intermediate": {end.Chain, testNow.Add(364 * day), ErrNotYet},
		"after the intermediate":  {end.Chain, testNow.Add(365*day + time.Minute), ErrExpired},
	} {
		if _, err := bundle.Verify(test.chain, test.at); !errors.Is(err, test.want) || (test.want == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// forge signs anything with an authority's key, as a thief would.
func forge(t *testing.T, a Authority, change func(c *x509.Certificate)) Chain {
	t.Helper()
	key := must(newCertKey())(t)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: testNow, NotAfter: testNow.Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs: []*url.URL{a.Domain.serviceURI("api")},
	}
	change(c)
	raw := must(x509.CreateCertificate(rand.Reader, c, a.Certificate, &key.PublicKey, a.key))(t)
	return Chain{must(x509.ParseCertificate(raw))(t), a.Certificate}
}

func TestVerifyHoldsForm(t *testing.T) {
	root, bundle := newTestRoot(t)
	other, _ := newTestRoot(t)
	a := newTestAuthority(t, root, "db1", testNow)
	good := newTestLeaf(t, a, "api", testNow)
	foreign := newTestLeaf(t, newTestAuthority(t, other, "db1", testNow), "api", testNow)
	parse := func(text string) *url.URL { return must(url.Parse(text))(t) }
	td := string(root.Domain)
	for name, test := range map[string]struct {
		chain Chain
		want  error
	}{
		"good":                 {forge(t, a, func(*x509.Certificate) {}), nil},
		"wrong trust domain":   {foreign.Chain, ErrIdentity},
		"no URI":               {forge(t, a, func(c *x509.Certificate) { c.URIs = nil; c.DNSNames = []string{"api.mesh"} }), ErrIdentity},
		"two URIs":             {forge(t, a, func(c *x509.Certificate) { c.URIs = append(c.URIs, root.Domain.serviceURI("web")) }), ErrIdentity},
		"outside of its names": {forge(t, a, func(c *x509.Certificate) { c.URIs[0] = other.Domain.serviceURI("api") }), ErrIdentity},
		"below the domain":     {forge(t, a, func(c *x509.Certificate) { c.URIs[0].Host = "x." + td }), ErrIdentity},
		"a port":               {forge(t, a, func(c *x509.Certificate) { c.URIs[0].Host += ":1" }), ErrIdentity},
		"a query":              {forge(t, a, func(c *x509.Certificate) { c.URIs[0] = parse("spiffe://" + td + "/svc/api?x") }), ErrIdentity},
		"a fragment":           {forge(t, a, func(c *x509.Certificate) { c.URIs[0] = parse("spiffe://" + td + "/svc/api#x") }), ErrIdentity},
		"a user":               {forge(t, a, func(c *x509.Certificate) { c.URIs[0] = parse("spiffe://u@" + td + "/svc/api") }), ErrIdentity},
		"escaped":              {forge(t, a, func(c *x509.Certificate) { c.URIs[0] = parse("spiffe://" + td + "/svc/ap%69") }), ErrIdentity},
		"a deeper path":        {forge(t, a, func(c *x509.Certificate) { c.URIs[0].Path += "/x" }), ErrIdentity},
		"a host's name":        {forge(t, a, func(c *x509.Certificate) { c.URIs[0].Path = "/host/db1" }), ErrIdentity},
		"another scheme":       {forge(t, a, func(c *x509.Certificate) { c.URIs[0].Scheme = "https" }), ErrIdentity},
		"a CA": {forge(t, a, func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
		}), ErrForm},
		"may sign":           {forge(t, a, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }), ErrForm},
		"server only":        {forge(t, a, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }), ErrForm},
		"any usage":          {forge(t, a, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), ErrForm},
		"an address":         {forge(t, a, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }), ErrForm},
		"a mail address":     {forge(t, a, func(c *x509.Certificate) { c.EmailAddresses = []string{"a@shop.example"} }), ErrForm},
		"another DNS name":   {forge(t, a, func(c *x509.Certificate) { c.DNSNames = []string{"web.mesh"} }), ErrForm},
		"for a year":         {forge(t, a, func(c *x509.Certificate) { c.NotAfter = testNow.Add(364 * day) }), ErrForm},
		"leaf only":          {good.Chain[:1], ErrForm},
		"wrong order":        {Chain{good.Chain[1], good.Chain[0]}, ErrForm},
		"with its root":      {append(append(Chain{}, good.Chain...), root.Certificate), ErrForm},
		"other intermediate": {Chain{good.Chain[0], newTestAuthority(t, root, "db2", testNow).Certificate}, ErrForm},
		"signed by the root": {Chain{good.Chain[0], root.Certificate}, ErrForm},
	} {
		got, err := bundle.Verify(test.chain, testNow)
		if !errors.Is(err, test.want) || (test.want == nil) != (err == nil) {
			t.Errorf("%s: %q, %v, want %v", name, got, err, test.want)
		}
		if err != nil && got != "" {
			t.Errorf("%s: refused, and named %q", name, got)
		}
	}
}

// An intermediate that somebody else signed, or that lacks its constraint, is
// worth nothing, whatever its leaf says.
func TestVerifyHoldsTheIntermediate(t *testing.T) {
	root, bundle := newTestRoot(t)
	thief := must(NextRoot("shop", root.Domain, testNow))(t)
	leaf := newTestLeaf(t, newTestAuthority(t, thief, "db1", testNow), "api", testNow)
	if _, err := bundle.Verify(leaf.Chain, testNow); !errors.Is(err, ErrUnknownRoot) {
		t.Errorf("a root of the thief's: %v", err)
	}
	key := must(newCertKey())(t)
	for name, change := range map[string]func(c *x509.Certificate){
		"no constraint":      func(c *x509.Certificate) { c.PermittedURIDomains, c.PermittedDNSDomainsCritical = nil, false },
		"a wider constraint": func(c *x509.Certificate) { c.PermittedURIDomains = []string{".nixmesh"} },
		"not critical":       func(c *x509.Certificate) { c.PermittedDNSDomainsCritical = false },
		"longer path":        func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 1, false },
		"no path length":     func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = -1, false },
		"more usages":        func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDigitalSignature },
	} {
		c := caTemplate(root.Domain, "db1", Life{testNow.Add(-time.Minute), testNow.Add(day)})
		c.MaxPathLenZero, c.PermittedDNSDomainsCritical, c.PermittedURIDomains = true, true, []string{string(root.Domain)}
		change(c)
		signed := must(sign(c, root.Certificate, &key.PublicKey, root.key))(t)
		a := Authority{"db1", root.Domain, signed, key}
		if _, err := bundle.Verify(forge(t, a, func(*x509.Certificate) {}), testNow); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t)
	c := caTemplate(root.Domain, "db1", Life{testNow, testNow.Add(day)})
	c.SerialNumber = big.NewInt(1)
	raw := must(x509.CreateCertificate(rand.Reader, c, root.Certificate, &p384.PublicKey, root.key))(t)
	if _, err := ParseCertificates(EncodeCertificates(must(x509.ParseCertificate(raw))(t)), 1); !errors.Is(err, ErrForm) {
		t.Errorf("P-384: %v", err)
	}
}

// The standard library holds the name constraint by itself, too: a verifier
// that knows nothing of our forms refuses a foreign name.
func TestConstraintIsHeldByTheStandardLibrary(t *testing.T) {
	root, bundle := newTestRoot(t)
	a := newTestAuthority(t, root, "db1", testNow)
	between := x509.NewCertPool()
	between.AddCert(a.Certificate)
	verify := func(c *x509.Certificate) error {
		_, err := c.Verify(x509.VerifyOptions{Roots: bundle.pool(), Intermediates: between, CurrentTime: testNow})
		return err
	}
	if err := verify(forge(t, a, func(*x509.Certificate) {})[0]); err != nil {
		t.Error(err)
	}
	if err := verify(forge(t, a, func(c *x509.Certificate) { c.URIs[0].Host = "other-00000000.nixmesh" })[0]); err == nil {
		t.Error("a foreign name passed")
	}
}

func TestOneByteChangedIsRefused(t *testing.T) {
	root, bundle := newTestRoot(t)
	leaf := newTestLeaf(t, newTestAuthority(t, root, "db1", testNow), "api", testNow)
	rapid.Check(t, func(rt *rapid.T) {
		which := rapid.IntRange(0, 1).Draw(rt, "certificate")
		raw := bytes.Clone(leaf.Chain[which].Raw)
		raw[rapid.IntRange(0, len(raw)-1).Draw(rt, "byte")] ^= byte(1 << rapid.IntRange(0, 7).Draw(rt, "bit"))
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			return
		}
		chain := Chain{leaf.Chain[0], leaf.Chain[1]}
		chain[which] = c
		if service, err := bundle.Verify(chain, testNow); err == nil {
			rt.Fatalf("accepted as %s", service)
		}
	})
}

func TestLeafSpeaksTLS(t *testing.T) {
	root, bundle := newTestRoot(t)
	a := newTestAuthority(t, root, "db1", time.Now())
	config := func(service string) *tls.Config {
		return &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{newTestLeaf(t, a, service, time.Now()).TLS()},
			RootCAs: bundle.pool(), ClientCAs: bundle.pool(), ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "api.mesh",
		}
	}
	client, server := net.Pipe()
	deadline := time.Now().Add(10 * time.Second)
	client.SetDeadline(deadline)
	server.SetDeadline(deadline)
	done := make(chan error, 1)
	s := tls.Server(server, config("api"))
	go func() {
		_, err := io.WriteString(s, "hello")
		done <- errors.Join(err, s.Close())
	}()
	c := tls.Client(client, config("web"))
	text, err := io.ReadAll(c)
	if string(text) != "hello" || err != nil {
		t.Errorf("read %q: %v", text, err)
	}
	client.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got, err := bundle.Verify(s.ConnectionState().PeerCertificates, time.Now()); got != "web" || err != nil {
		t.Errorf("the server saw %q: %v", got, err)
	}
}

func TestLevels(t *testing.T) {
	leaf := Life{testNow, testNow.Add(72 * time.Hour)}
	year := Life{testNow, testNow.Add(365 * day)}
	for _, test := range []struct {
		after      time.Duration
		leaf, year Level
	}{
		{-time.Minute, LevelExpired, LevelExpired},
		{0, LevelOK, LevelOK},
		{47 * time.Hour, LevelOK, LevelOK},
		{48 * time.Hour, LevelWarn, LevelOK},
		{65 * time.Hour, LevelCritical, LevelOK},
		{72 * time.Hour, LevelCritical, LevelOK},
		{73 * time.Hour, LevelExpired, LevelOK},
		{183 * day, LevelExpired, LevelWarn},
		{351 * day, LevelExpired, LevelWarn},
		{351*day + 1, LevelExpired, LevelCritical},
		{366 * day, LevelExpired, LevelExpired},
	} {
		if got := leaf.LeafLevel(testNow.Add(test.after)); got != test.leaf {
			t.Errorf("leaf after %s: %s, want %s", test.after, got, test.leaf)
		}
		if got := year.CALevel(testNow.Add(test.after)); got != test.year {
			t.Errorf("CA after %s: %s, want %s", test.after, got, test.year)
		}
	}
	if Level(9).String() != "Level(9)" || (Life{}).Part(testNow) < 1 {
		t.Error("odd values")
	}
}

// With every authority dead from any moment on, a leaf serves for at least half
// of its life: renewal begins at 40 to 50 %.
func TestRenewalLeavesHalfALife(t *testing.T) {
	root, _ := newTestRoot(t)
	a := newTestAuthority(t, root, "db1", testNow)
	seen := map[time.Time]bool{}
	for range 50 {
		leaf := newTestLeaf(t, a, "api", testNow)
		at := RenewAt(leaf.Chain[0])
		seen[at] = true
		if part := LifeOf(leaf.Chain[0]).Part(at); part < 0.40 || part >= 0.50 {
			t.Errorf("renewed at %.3f of its life", part)
		}
		if left := leaf.Chain.Life().Left(at); left < 36*time.Hour {
			t.Errorf("%s left", left)
		}
		if !RenewAt(leaf.Chain[0]).Equal(at) {
			t.Error("another moment at the second look")
		}
	}
	if len(seen) < 25 {
		t.Errorf("%d different moments of 50", len(seen))
	}
}

func TestTrustDomains(t *testing.T) {
	for text, ok := range map[string]bool{
		"shop-3fa9c1d2.nixmesh": true, "a": true, "": false, "Shop.nixmesh": false, "10.0.0.1": false, "a..b": false, "-a": false, "a_b": false, "a/b": false, "a:1": false,
	} {
		if _, err := ParseDomain(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.StringMatching(`[a-z][a-z0-9-]{0,30}`).Draw(rt, "service")
		d := Domain("shop-3fa9c1d2.nixmesh")
		if got, err := d.Service(d.ServiceID(name)); got != name || err != nil {
			rt.Fatalf("%q: %v", got, err)
		}
		if got, err := Domain("shop-3fa9c1d3.nixmesh").Service(d.ServiceID(name)); err == nil {
			rt.Fatalf("another domain's %q", got)
		}
	})
}
