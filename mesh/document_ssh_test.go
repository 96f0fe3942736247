package mesh_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

func newKey(t *testing.T, name string) (trust.SSHKey, mesh.Signer) {
	t.Helper()
	key, err := trust.GenerateSSHKey(name)
	if err != nil {
		t.Fatal(err)
	}
	return key, func(namespace string, message []byte) (string, error) {
		return trust.Sign(key.Signer, namespace, message)
	}
}

// Anybody can check a document without nixmesh: its text without the signature
// is what `ssh-keygen -Y verify` takes.
func TestSSHKeygenVerifiesADocument(t *testing.T) {
	t.Parallel()
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("ssh-keygen is not installed")
	}
	key, sign := newKey(t, "anna")
	d := mesh.NextDocument(nil, sample(), "anna")
	if err := d.Sign(sign); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	allowed, signature := filepath.Join(dir, "allowed"), filepath.Join(dir, "sig")
	for name, text := range map[string]string{allowed: "anna " + key.Authorized + "\n", signature: d.Signature} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := func(namespace, message string) (string, error) {
		c := exec.Command(keygen, "-Y", "verify", "-f", allowed, "-I", "anna", "-n", namespace, "-s", signature)
		c.Stdin = strings.NewReader(message)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := verify(mesh.Namespace, string(d.Signed())); err != nil {
		t.Errorf("ssh-keygen refuses the document: %v\n%s", err, out)
	}
	if out, err := verify(mesh.Namespace, strings.Replace(string(d.Signed()), `"version":1`, `"version":2`, 1)); err == nil {
		t.Errorf("ssh-keygen accepts another version: %s", out)
	}
	if out, err := verify(trust.NamespaceRelease, string(d.Signed())); err == nil {
		t.Errorf("ssh-keygen accepts it as a release: %s", out)
	}
}

// The verification of package trust fits as it is.
func TestTrustVerifiesADocument(t *testing.T) {
	t.Parallel()
	anna, sign := newKey(t, "anna")
	bert, _ := newKey(t, "bert")
	d := mesh.NextDocument(nil, sample(), "anna")
	if err := d.Sign(sign); err != nil {
		t.Fatal(err)
	}
	parsed, err := mesh.ParseDocument(d.Canonical())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		signers mesh.Signers
		want    string
	}{
		{"known", mesh.Signers{Keys: map[string][]string{"bert": {bert.Authorized}, "anna": {anna.Authorized}}}, ""},
		{"unknown", mesh.Signers{Keys: map[string][]string{"bert": {bert.Authorized}}}, "signer is not allowed"},
		{"removed", mesh.Signers{Keys: map[string][]string{"anna": {anna.Authorized}}, Revoked: []string{anna.Authorized + " of before"}}, "the key was removed from the fleet"},
	} {
		c.signers.Verify = trust.Verify
		_, err := c.signers.Accept("shop", mesh.Link{}, parsed)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}
