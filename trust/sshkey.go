package trust

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

// SSHKey is a new ed25519 key pair: a login key, or a host's key.
type SSHKey struct {
	Private    []byte // OpenSSH PEM, not encrypted
	Authorized string // "ssh-ed25519 AAAA… comment", one line without its end
	Signer     ssh.Signer
}

// GenerateSSHKey makes a key pair with a comment.
func GenerateSSHKey(comment string) (SSHKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return SSHKey{}, fmt.Errorf("generate SSH key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return SSHKey{}, fmt.Errorf("encode SSH key: %w", err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		return SSHKey{}, fmt.Errorf("use SSH key: %w", err)
	}
	return SSHKey{Private: pem.EncodeToMemory(block), Authorized: AuthorizedKey(signer.PublicKey(), comment), Signer: signer}, nil
}

// Save writes file (0600) and file.pub. An existing file is never overwritten.
func (k SSHKey) Save(file string) error {
	if err := writeSecret(file, k.Private); err != nil {
		return err
	}
	if err := os.WriteFile(file+".pub", []byte(k.Authorized+"\n"), 0o644); err != nil {
		return fmt.Errorf("save public key: %w", err)
	}
	return nil
}

// LoadSSHKey reads a private key file without a passphrase.
func LoadSSHKey(file string) (SSHKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return SSHKey{}, fmt.Errorf("load SSH key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return SSHKey{}, fmt.Errorf("load SSH key %s: %w", file, err)
	}
	return SSHKey{Private: text, Authorized: AuthorizedKey(signer.PublicKey(), ""), Signer: signer}, nil
}

// AuthorizedKey is a public key as one line of authorized_keys.
func AuthorizedKey(key ssh.PublicKey, comment string) string {
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	if comment != "" {
		line += " " + comment
	}
	return line
}
