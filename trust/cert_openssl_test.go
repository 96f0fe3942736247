package trust

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// openssl runs the real openssl: a second opinion on what other verifiers make
// of our certificates.
func openssl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	return string(out), err
}

func TestOpenSSLVerifiesOurChain(t *testing.T) {
	root, bundle := newTestRoot(t)
	next := must(NextRoot("shop", root.Domain, testNow))(t)
	both := must(bundle.Add(next.Certificate))(t)
	a := newTestAuthority(t, root, "db1", testNow)
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	roots, between := file("roots.pem", both.PEM()), file("intermediate.pem", EncodeCertificates(a.Certificate))
	verify := func(leaf Chain, roots, purpose string) (string, error) {
		return openssl(t, "verify", "-x509_strict", "-CAfile", roots, "-untrusted", between, "-purpose", purpose,
			"-attime", strconv.FormatInt(testNow.Unix(), 10), file("leaf.pem", EncodeCertificates(leaf[0])))
	}
	good := newTestLeaf(t, a, "api", testNow).Chain
	for _, purpose := range []string{"sslserver", "sslclient"} {
		if out, err := verify(good, roots, purpose); err != nil {
			t.Errorf("%s: %v\n%s", purpose, err, out)
		}
	}
	if out, err := verify(good, file("other.pem", EncodeCertificates(next.Certificate)), "sslserver"); err == nil {
		t.Errorf("another root vouches:\n%s", out)
	}
	foreign := a
	foreign.Domain = "other-00000000.nixmesh"
	order := Order{Service: "api", Request: must(NewLeafKey("api"))(t).Request, TTL: day}
	out, err := verify(must(foreign.SignLeaf(order, testNow))(t), roots, "sslserver")
	if err == nil || !strings.Contains(out, "permitted subtree violation") {
		t.Errorf("the name constraint does not hold: %v\n%s", err, out)
	}
}
