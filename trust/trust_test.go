package trust

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// keygen runs the real ssh-keygen.
func keygen(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("ssh-keygen is not installed")
	}
	c := exec.Command(path, args...)
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	return string(out), err
}

func newKey(t *testing.T, dir, name string) SSHKey {
	t.Helper()
	k, err := GenerateSSHKey(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Save(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSSHKeygenVerifiesOurSignature(t *testing.T) {
	dir := t.TempDir()
	k := newKey(t, dir, "anna")
	sig, err := Sign(k.Signer, NamespaceRelease, []byte("release 42"))
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "allowed"), []byte("anna "+k.Authorized+"\n"), 0o600)
	os.WriteFile(filepath.Join(dir, "sig"), []byte(sig), 0o600)
	verify := []string{"-Y", "verify", "-f", filepath.Join(dir, "allowed"), "-I", "anna", "-n", NamespaceRelease, "-s", filepath.Join(dir, "sig")}
	if out, err := keygen(t, "release 42", verify...); err != nil {
		t.Errorf("ssh-keygen refuses our signature: %v\n%s", err, out)
	}
	if out, err := keygen(t, "release 43", verify...); err == nil {
		t.Errorf("ssh-keygen accepts another message: %s", out)
	}
}

func TestWeVerifySSHKeygensSignature(t *testing.T) {
	dir := t.TempDir()
	k := newKey(t, dir, "anna")
	msg := filepath.Join(dir, "msg")
	os.WriteFile(msg, []byte("release 42"), 0o600)
	if out, err := keygen(t, "", "-Y", "sign", "-f", filepath.Join(dir, "anna"), "-n", NamespaceRelease, msg); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sig, _ := os.ReadFile(msg + ".sig")
	line, err := Verify(string(sig), NamespaceRelease, []byte("release 42"), []string{"nonsense", k.Authorized})
	if err != nil || line != k.Authorized {
		t.Errorf("Verify = %q, %v", line, err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	dir := t.TempDir()
	anna, bert := newKey(t, dir, "anna"), newKey(t, dir, "bert")
	sig, err := Sign(anna.Signer, NamespaceRelease, []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{anna.Authorized}
	for name, c := range map[string]struct {
		sig, namespace, message string
		allowed                 []string
		want                    error
	}{
		"other message":   {sig, NamespaceRelease, "n", allowed, ErrBad},
		"other namespace": {sig, "nixmesh-mesh", "m", allowed, ErrNamespace},
		"other key":       {sig, NamespaceRelease, "m", []string{bert.Authorized}, ErrNotAllowed},
		"nobody":          {sig, NamespaceRelease, "m", nil, ErrNotAllowed},
		"no signature":    {"hello", NamespaceRelease, "m", allowed, ErrNotSigned},
		"cut":             {sig[:len(sig)/2] + "\n" + sigEnd, NamespaceRelease, "m", allowed, ErrNotSigned},
		"huge":            {sigBegin + strings.Repeat("A", 1<<20), NamespaceRelease, "m", allowed, ErrNotSigned},
	} {
		if _, err := Verify(c.sig, c.namespace, []byte(c.message), c.allowed); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	k, err := GenerateSSHKey("f")
	if err != nil {
		f.Fatal(err)
	}
	sig, err := Sign(k.Signer, "n", []byte("m"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sig)
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := Verify(s, "n", []byte("other"), []string{k.Authorized}); err == nil {
			t.Fatal("accepted")
		}
	})
}

func TestNixKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nix.key")
	k, err := GenerateNixKey("anna-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Save(file); err != nil {
		t.Fatal(err)
	}
	if err := k.Save(file); err == nil {
		t.Error("Save overwrote a key")
	}
	back, err := LoadNixKey(file)
	if err != nil || back.Secret() != k.Secret() {
		t.Fatalf("LoadNixKey = %v, %v", back, err)
	}
	sig := back.Sign("1;x")
	if p, ok := VerifyNix(sig, "1;x", []string{"bad", k.Public()}); !ok || p != k.Public() {
		t.Error("own signature is refused")
	}
	if _, ok := VerifyNix(sig, "1;y", []string{k.Public()}); ok {
		t.Error("another fingerprint is accepted")
	}
	os.Chmod(file, 0o644)
	if _, err := LoadNixKey(file); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable key file: %v", err)
	}
	if _, err := ParseNixKey(k.Public()); err == nil || !strings.Contains(err.Error(), "public key") {
		t.Errorf("public key as secret: %v", err)
	}
}
