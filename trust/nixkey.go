package trust

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// NixKey is an ed25519 key that signs store paths, in Nix's form NAME:BASE64.
// Together with the same operator's SSH key it is root on the fleet.
type NixKey struct {
	Name    string
	private ed25519.PrivateKey
}

// GenerateNixKey makes a new key. By Nix's custom the name ends in a number,
// so that a successor can have the same stem: "anna-1".
func GenerateNixKey(name string) (NixKey, error) {
	if err := checkKeyName(name); err != nil {
		return NixKey{}, err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return NixKey{}, fmt.Errorf("generate nix key: %w", err)
	}
	return NixKey{Name: name, private: private}, nil
}

// ParseNixKey reads a secret key NAME:BASE64 of Nix's 64 bytes.
func ParseNixKey(text string) (NixKey, error) {
	name, raw, err := splitKey(text)
	if err != nil {
		return NixKey{}, fmt.Errorf("parse nix secret key: %w", err)
	}
	if len(raw) == ed25519.PublicKeySize {
		return NixKey{}, fmt.Errorf("parse nix secret key %s: this is a public key", name)
	}
	if len(raw) != ed25519.PrivateKeySize {
		return NixKey{}, fmt.Errorf("parse nix secret key %s: %d bytes, not %d", name, len(raw), ed25519.PrivateKeySize)
	}
	private := ed25519.PrivateKey(raw)
	if !ed25519.NewKeyFromSeed(private.Seed()).Equal(private) {
		return NixKey{}, fmt.Errorf("parse nix secret key %s: its two halves do not belong together", name)
	}
	return NixKey{Name: name, private: private}, nil
}

// LoadNixKey reads a secret key file, which nobody but its owner may read.
func LoadNixKey(file string) (NixKey, error) {
	info, err := os.Stat(file)
	if err != nil {
		return NixKey{}, fmt.Errorf("load nix key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return NixKey{}, fmt.Errorf("load nix key: %s may be read by others (mode %04o); run: chmod 600 %s", file, info.Mode().Perm(), file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return NixKey{}, fmt.Errorf("load nix key: %w", err)
	}
	key, err := ParseNixKey(string(text))
	if err != nil {
		return NixKey{}, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// Save writes the secret key to a new file with mode 0600. An existing file is
// never overwritten: a lost key cannot be made again.
func (k NixKey) Save(file string) error { return writeSecret(file, []byte(k.Secret()+"\n")) }

// Secret is the secret key as Nix reads it.
func (k NixKey) Secret() string {
	return k.Name + ":" + base64.StdEncoding.EncodeToString(k.private)
}

// Public is the public key, as in nix.settings.trusted-public-keys.
func (k NixKey) Public() string {
	return k.Name + ":" + base64.StdEncoding.EncodeToString(k.private.Public().(ed25519.PublicKey))
}

// String never shows the secret.
func (k NixKey) String() string { return k.Public() }

// Sign signs a fingerprint of a store path: NAME:BASE64, as in a narinfo.
func (k NixKey) Sign(fingerprint string) string {
	return k.Name + ":" + base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, []byte(fingerprint)))
}

// VerifyNix says whether one of the public keys NAME:BASE64 made a signature
// NAME:BASE64 over a fingerprint, and which.
func VerifyNix(signature, fingerprint string, publicKeys []string) (key string, ok bool) {
	name, sig, err := splitKey(signature)
	if err != nil || len(sig) != ed25519.SignatureSize {
		return "", false
	}
	for _, p := range publicKeys {
		n, raw, err := splitKey(p)
		if err == nil && n == name && len(raw) == ed25519.PublicKeySize && ed25519.Verify(raw, []byte(fingerprint), sig) {
			return p, true
		}
	}
	return "", false
}

func splitKey(text string) (name string, raw []byte, err error) {
	name, body, ok := strings.Cut(strings.TrimSpace(text), ":")
	if !ok || name == "" {
		return "", nil, fmt.Errorf("not of the form NAME:BASE64")
	}
	raw, err = base64.StdEncoding.DecodeString(body)
	if err != nil {
		return "", nil, fmt.Errorf("key %s: %w", name, err)
	}
	return name, raw, nil
}

func checkKeyName(name string) error {
	if name == "" || strings.ContainsAny(name, ": \t\n") {
		return fmt.Errorf("nix key name %q may not be empty nor hold a colon or a space", name)
	}
	return nil
}

// writeSecret creates a file that only its owner can read, whole or not at all.
func writeSecret(file string, content []byte) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fs.FileMode(0o600))
	if err != nil {
		return fmt.Errorf("save secret: %w", err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = os.Remove(file)
		return fmt.Errorf("save secret %s: %w", file, err)
	}
	return nil
}
