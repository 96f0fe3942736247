package e2e

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// forger signs certificates with the root of a lab's mesh.
type forger struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

// forger takes the root of the lab, whose key is in the clear.
func (f *fleet) forger(t *testing.T) forger {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, ".nixmesh/lab/ca-root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	var r forger
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			r.root, err = x509.ParseCertificate(block.Bytes)
		} else if key, e := x509.ParsePKCS8PrivateKey(block.Bytes); e == nil {
			r.key = key.(*ecdsa.PrivateKey)
		} else {
			r.key, err = x509.ParseECPrivateKey(block.Bytes)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if r.root == nil || r.key == nil {
		t.Fatal("the lab's root has no certificate or no key")
	}
	return r
}

// certificate is one for a SPIFFE name, good from a time to another. Own is
// signed by nobody but itself.
func (r forger) certificate(t *testing.T, name string, from, until time.Time, own bool) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := url.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: until, URIs: []*url.URL{id}, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	parent, signer := r.root, r.key
	if own {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// testWrongCallers dials the mesh's port of h2 from h1, past Envoy, with
// certificates that are not those of a caller.
func (f *fleet) testWrongCallers(t *testing.T) {
	r := f.forger(t)
	now, id := time.Now(), "spiffe://"+f.document("h1").Config.TrustDomain+"/svc/"
	at := net.JoinHostPort(f.seat("h2").addr.String(), "15443")
	from := f.as("h1", "root")
	// dial says what a server of TCP that speaks first says to web.
	dial := func(certificates ...tls.Certificate) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), answerTime)
		defer cancel()
		conn, err := from.DialContext(ctx, "tcp", at)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		c := tls.Client(conn, &tls.Config{Certificates: certificates, ServerName: "banner.mesh", InsecureSkipVerify: true, NextProtos: []string{"nixmesh/web"}})
		if err := c.SetDeadline(time.Now().Add(answerTime)); err != nil {
			return "", err
		}
		said := make([]byte, 64)
		n, err := c.Read(said)
		return string(said[:n]), err
	}
	good := r.certificate(t, id+"web", now.Add(-time.Hour), now.Add(time.Hour), false)
	if said, err := dial(good); err != nil || said != "banner on h2\n" {
		t.Fatalf("a good certificate: %q, %v", said, err)
	}
	for what, certificates := range map[string][]tls.Certificate{
		"none":                         nil,
		"an expired one":               {r.certificate(t, id+"web", now.Add(-time.Hour), now.Add(-time.Second), false)},
		"one that is to come":          {r.certificate(t, id+"web", now.Add(time.Hour), now.Add(2*time.Hour), false)},
		"one that signs itself":        {r.certificate(t, id+"web", now.Add(-time.Hour), now.Add(time.Hour), true)},
		"one of a service that has no": {r.certificate(t, id+"stranger", now.Add(-time.Hour), now.Add(time.Hour), false)},
		"one of a longer name":         {r.certificate(t, id+"web-x", now.Add(-time.Hour), now.Add(time.Hour), false)},
		"one of another domain":        {r.certificate(t, "spiffe://other-00000000.nixmesh/svc/web", now.Add(-time.Hour), now.Add(time.Hour), false)},
	} {
		if said, err := dial(certificates...); err == nil {
			t.Errorf("%s: the server says %q", what, said)
		} else {
			t.Logf("%s: %v", what, err)
		}
	}
}

// testWrongCallees has h1's calls to h2's Envoy arrive at a server that has the
// certificates of others: h1's Envoy gives it nothing of web's.
func (f *fleet) testWrongCallees(t *testing.T, web *caller) {
	r, now, id := f.forger(t), time.Now(), "spiffe://"+f.document("h1").Config.TrustDomain+"/svc/"
	var shown atomic.Pointer[tls.Certificate]
	listener := tls.NewListener(f.as("h1", "nixmesh-envoy").listen(t, f.seat("h1").addr.String()+":0"), &tls.Config{
		ClientAuth:     tls.RequireAnyClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return shown.Load(), nil },
	})
	defer listener.Close()
	go greet(listener, "an impostor")
	f.ssh("h1", fmt.Sprintf("nft 'table ip impostor { chain out { type nat hook output priority -100; ip daddr %s tcp dport 15443 dnat to %s; }; }'",
		f.seat("h2").addr, listener.Addr())).want(t, 0)
	defer func() {
		f.ssh("h1", "nft delete table ip impostor").want(t, 0)
		web.wantCallees(t)
	}()
	// heard is what web is told by who it takes for banner.
	heard := func() string {
		conn, err := web.DialContext(t.Context(), "tcp", "banner.mesh:7001")
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		line, _ := sayLine(conn, bufio.NewReader(conn), "")
		return line
	}
	show := func(c tls.Certificate) { shown.Store(&c) }
	good := r.certificate(t, id+"banner", now.Add(-time.Hour), now.Add(time.Hour), false)
	for what, wrong := range map[string]tls.Certificate{
		"an expired one":        r.certificate(t, id+"banner", now.Add(-time.Hour), now.Add(-time.Second), false),
		"one that is to come":   r.certificate(t, id+"banner", now.Add(time.Hour), now.Add(2*time.Hour), false),
		"one that signs itself": r.certificate(t, id+"banner", now.Add(-time.Hour), now.Add(time.Hour), true),
		"one of another":        r.certificate(t, id+"pipe", now.Add(-time.Hour), now.Add(time.Hour), false),
	} {
		show(good)
		until(t, "a good certificate is taken", func() bool { return heard() == "an impostor" })
		show(wrong)
		if said := heard(); said != "" {
			t.Errorf("%s: web hears %q", what, said)
		}
	}
}

// greet says a line to each who comes, until the listener is closed.
func greet(l net.Listener, text string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() { // as long as the other side reads, and not long
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(answerTime))
			if _, err := fmt.Fprintln(conn, text); err == nil {
				_, _ = io.Copy(io.Discard, conn)
			}
		}()
	}
}
