package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// newIdentity is an age identity and its recipient.
func newIdentity(t *testing.T) (AgeIdentity, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys.txt")
	recipient, err := GenerateAgeIdentity(file)
	if err != nil {
		t.Fatal(err)
	}
	return loadIdentity(t, file), recipient
}

func loadIdentity(t *testing.T, file string) AgeIdentity {
	t.Helper()
	id, err := LoadAgeIdentity(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func sealed(t *testing.T, text string, recipients ...string) []byte {
	t.Helper()
	b, err := Encrypt([]byte(text), recipients)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEveryRecipientOpensASecret(t *testing.T) {
	dir := t.TempDir()
	host := newKey(t, dir, "app1")
	operator, recipient := newIdentity(t)
	for _, text := range []string{"", "hunter2", "line\nline\n", strings.Repeat("x", MaxSecret)} {
		file := sealed(t, text, recipient, host.Authorized)
		for _, id := range []AgeIdentity{operator, loadIdentity(t, filepath.Join(dir, "app1"))} {
			got, err := Decrypt(file, id)
			if err != nil || string(got) != text {
				t.Errorf("%s opens %d bytes of %d: %v", id.File, len(got), len(text), err)
			}
		}
	}
}

// otherLetter is not the text's last one.
func otherLetter(text string) string {
	if strings.HasSuffix(text, "q") {
		return "p"
	}
	return "q"
}

func TestEncryptRefuses(t *testing.T) {
	_, recipient := newIdentity(t)
	for name, recipients := range map[string][]string{
		"no recipient":     {},
		"a damaged one":    {recipient[:len(recipient)-1] + otherLetter(recipient)},
		"a post-quantum":   {"age1pq1" + strings.Repeat("q", 100)},
		"an RSA key":       {"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7"},
		"half an SSH line": {"ssh-ed25519"},
	} {
		if _, err := Encrypt([]byte("x"), recipients); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := Encrypt(make([]byte, MaxSecret+1), []string{recipient}); !errors.Is(err, ErrSecretTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

func TestDecryptSaysWhyNot(t *testing.T) {
	id, recipient := newIdentity(t)
	other, _ := newIdentity(t)
	file := sealed(t, strings.Repeat("secret ", 200), recipient)
	if _, err := Decrypt(file, other); !errors.Is(err, ErrOtherRecipients) {
		t.Errorf("another's key: %v", err)
	}
	if _, err := Decrypt([]byte("DATABASE_URL=postgres://"), id); !errors.Is(err, ErrNotAge) || strings.Contains(err.Error(), "postgres") {
		t.Errorf("clear text: %v", err)
	}
	if _, err := Decrypt(bytes.Repeat([]byte("a"), maxAgeFile+1), id); !errors.Is(err, ErrNotAge) {
		t.Errorf("a huge file: %v", err)
	}
	for _, n := range []int{0, 20, len(file) / 2, len(file) - 60} {
		if text, err := Decrypt(file[:n], id); !errors.Is(err, ErrNotAge) || text != nil {
			t.Errorf("cut off after %d of %d bytes: %q, %v", n, len(file), text, err)
		}
	}
	for _, at := range []int{len(file) / 3, len(file) - 80} {
		changed := bytes.Clone(file)
		changed[at] ^= 1
		if text, err := Decrypt(changed, id); err == nil || text != nil {
			t.Errorf("byte %d changed: %q, %v", at, text, err)
		}
	}
}

func TestBinaryFilesAreReadToo(t *testing.T) {
	id, recipient := newIdentity(t)
	block, _ := pem.Decode(sealed(t, "hunter2", recipient))
	if block == nil {
		t.Fatal("what Encrypt writes is not armored")
	}
	got, err := Decrypt(block.Bytes, id)
	if err != nil || string(got) != "hunter2" {
		t.Errorf("%q, %v", got, err)
	}
	if h, err := ParseAgeHeader(block.Bytes); err != nil || h.X25519 != 1 {
		t.Errorf("header %+v, %v", h, err)
	}
}

func TestHeaderNamesTheRecipients(t *testing.T) {
	dir := t.TempDir()
	a, b := newKey(t, dir, "a"), newKey(t, dir, "b")
	_, recipient := newIdentity(t)
	file := filepath.Join(dir, "x.age")
	os.WriteFile(file, sealed(t, "x", a.Authorized, recipient, b.Authorized, b.Authorized+" again"), 0o600)
	h, err := AgeRecipients(file)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, k := range []SSHKey{a, b} {
		tag, err := SSHTag(k.Authorized)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, tag)
	}
	if h.X25519 != 1 || !slices.Equal(h.SSHTags, want) || h.Others != nil {
		t.Errorf("header %+v, want one X25519 and the tags %v", h, want)
	}
	os.WriteFile(file, []byte("clear text"), 0o600)
	if _, err := AgeRecipients(file); !errors.Is(err, ErrNotAge) {
		t.Errorf("clear text: %v", err)
	}
}

func TestFilesAreReplacedWhole(t *testing.T) {
	id, recipient := newIdentity(t)
	dir := filepath.Join(t.TempDir(), "secrets/deep")
	file := filepath.Join(dir, "x.age")
	for _, text := range []string{"one", "two"} {
		if err := SealFile(file, []byte(text), []string{recipient}); err != nil {
			t.Fatal(err)
		}
		got, err := OpenFile(file, id)
		if err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := SealFile(file, []byte("three"), nil); err == nil {
		t.Error("a file for nobody is written")
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("left in the folder: %v, %v", names, err)
	}
}

func TestIdentityFiles(t *testing.T) {
	dir := t.TempDir()
	k := newKey(t, dir, "anna")
	locked := filepath.Join(dir, "locked")
	signer, err := ssh.ParseRawPrivateKey(k.Private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(*signer.(*ed25519.PrivateKey), "anna", []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(locked, pem.EncodeToMemory(block), 0o600)
	file := sealed(t, "hunter2", k.Authorized)

	if _, err := LoadAgeIdentity(locked, nil); err == nil || !strings.Contains(err.Error(), "passphrase") {
		t.Errorf("a passphrase and nobody to ask: %v", err)
	}
	for _, typed := range []string{"open sesame", "wrong"} {
		asked := ""
		id, err := LoadAgeIdentity(locked, func(f string) ([]byte, error) { asked = f; return []byte(typed), nil })
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decrypt(file, id)
		if err != nil && (errors.Is(err, ErrNotAge) || !strings.Contains(err.Error(), "unlock "+locked)) {
			t.Errorf("a wrong passphrase: %v", err)
		}
		if asked != locked || (err == nil) != (typed == "open sesame") || err == nil && string(got) != "hunter2" {
			t.Errorf("passphrase %q: asked for %q, got %q, %v", typed, asked, got, err)
		}
	}

	open := filepath.Join(dir, "open")
	os.WriteFile(open, k.Private, 0o600)
	os.Chmod(open, 0o644)
	if _, err := LoadAgeIdentity(open, nil); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others may read: %v", err)
	}
	secret := "AGE-SECRET-KEY-1" + strings.Repeat("Q", 58)
	if _, err := ParseAgeIdentity("x", []byte(secret), nil); err == nil || strings.Contains(err.Error(), "QQQ") {
		t.Errorf("a damaged identity: %v", err)
	}
	if text := loadIdentity(t, filepath.Join(dir, "anna")).String(); strings.Contains(text, "PRIVATE") {
		t.Errorf("an identity prints as %q", text)
	}
}

// Facts of the format that others rely on: the tag of agessh, and an SSH key of
// ssh-keygen as a recipient.
func TestAgainstOthers(t *testing.T) {
	dir := t.TempDir()
	if out, err := keygen(t, "", "-q", "-t", "ed25519", "-N", "", "-C", "app1", "-f", filepath.Join(dir, "key")); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	public, err := os.ReadFile(filepath.Join(dir, "key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	file := sealed(t, "hunter2", string(public))
	got, err := Decrypt(file, loadIdentity(t, filepath.Join(dir, "key")))
	if err != nil || string(got) != "hunter2" {
		t.Errorf("with ssh-keygen's key: %q, %v", got, err)
	}
	t.Run("age", func(t *testing.T) {
		program, err := exec.LookPath("age")
		if err != nil {
			t.Skip(err)
		}
		c := exec.Command(program, "-d", "-i", filepath.Join(dir, "key"))
		c.Stdin = bytes.NewReader(file)
		if out, err := c.CombinedOutput(); err != nil || string(out) != "hunter2" {
			t.Errorf("age -d: %q, %v", out, err)
		}
		c = exec.Command(program, "-R", filepath.Join(dir, "key.pub"))
		c.Stdin = strings.NewReader("hunter3")
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decrypt(out, loadIdentity(t, filepath.Join(dir, "key"))); err != nil || string(got) != "hunter3" {
			t.Errorf("of age: %q, %v", got, err)
		}
	})
}

func FuzzAgeHeader(f *testing.F) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		f.Fatal(err)
	}
	file, err := Encrypt([]byte("x"), []string{AuthorizedKey(key, "")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add([]byte("age-encryption.org/v1\n-> X25519 x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := ParseAgeHeader(text); err != nil && !errors.Is(err, ErrNotAge) {
			t.Errorf("%v is no ErrNotAge", err)
		}
	})
}
