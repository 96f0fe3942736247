package lab

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"
)

func TestCAVouchesForNames(t *testing.T) {
	t.Parallel()
	l, err := New(Options{StateDir: t.TempDir(), Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ca, err := l.CA(now)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"shop.example", "*.shop.example", "10.99.0.250"}
	chain, key, err := ca.Issue(names, now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadFile(l.CAPath())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	for name, good := range map[string]bool{"shop.example": true, "a.shop.example": true, "10.99.0.250": true, "other.example": false} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now})
		if (err == nil) != good {
			t.Errorf("verify for %s: %v", name, err)
		}
	}

	again, err := l.CA(now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		what  string
		ca    *CA
		names []string
		after time.Duration
		want  bool
	}{
		{"the same CA, read again", again, names, time.Hour, false},
		{"other names", again, names[:2], 0, true},
		{"as many, but others", again, []string{"a.example", "*.shop.example", "10.99.0.250"}, 0, true},
		{"its last third", again, names, leafTTL * 3 / 4, true},
	} {
		if got := test.ca.Renews(chain, test.names, now.Add(test.after)); got != test.want {
			t.Errorf("%s: renewed is %v", test.what, got)
		}
	}
	other, err := newCA(now)
	if err != nil {
		t.Fatal(err)
	}
	if !other.Renews(chain, names, now) {
		t.Error("another CA keeps a certificate that it did not issue")
	}
}
