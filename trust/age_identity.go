package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"
)

// AgeIdentity is a key file that opens age files: an ed25519 SSH key, or a file
// of age identities as age-keygen writes it. An SSH agent cannot open them.
type AgeIdentity struct {
	File       string // as it was named, for messages
	identities []age.Identity
}

// String never shows the key.
func (i AgeIdentity) String() string { return i.File }

// Passphrase asks for the passphrase of a key file. It is called at most once
// an identity, and only for a file that names this key as a recipient.
type Passphrase func(file string) ([]byte, error)

// LoadAgeIdentity reads an identity file that nobody but its owner may read.
// passphrase may be nil; then an SSH key with one is refused.
func LoadAgeIdentity(file string, passphrase Passphrase) (AgeIdentity, error) {
	info, err := os.Stat(file)
	if err != nil {
		return AgeIdentity{}, fmt.Errorf("load identity: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return AgeIdentity{}, fmt.Errorf("load identity: %s may be read by others (mode %04o); run: chmod 600 %s", file, info.Mode().Perm(), file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return AgeIdentity{}, fmt.Errorf("load identity: %w", err)
	}
	id, err := ParseAgeIdentity(file, text, passphrase)
	if err != nil {
		return AgeIdentity{}, fmt.Errorf("load identity %s: %w", file, err)
	}
	return id, nil
}

// ParseAgeIdentity reads the content of an identity file.
func ParseAgeIdentity(file string, text []byte, passphrase Passphrase) (AgeIdentity, error) {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN")) {
		id, err := sshIdentity(file, text, passphrase)
		if err != nil {
			return AgeIdentity{}, err
		}
		return AgeIdentity{File: file, identities: []age.Identity{id}}, nil
	}
	all, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		// age quotes the line, which may be most of a secret key.
		return AgeIdentity{}, errors.New("this is neither an SSH key nor a file of age identities (AGE-SECRET-KEY-1…)")
	}
	return AgeIdentity{File: file, identities: all}, nil
}

// sshIdentity reads a private key in OpenSSH's form.
func sshIdentity(file string, pem []byte, passphrase Passphrase) (age.Identity, error) {
	id, err := agessh.ParseIdentity(pem)
	if locked := (*ssh.PassphraseMissingError)(nil); errors.As(err, &locked) {
		return lockedIdentity(file, pem, locked.PublicKey, passphrase)
	}
	if err != nil {
		return nil, fmt.Errorf("read SSH key: %w", err)
	}
	if _, ok := id.(*agessh.Ed25519Identity); !ok {
		return nil, errors.New("read SSH key: only ssh-ed25519 keys open secrets")
	}
	return id, nil
}

// lockedIdentity is an SSH key whose passphrase is asked for when it is needed.
func lockedIdentity(file string, pem []byte, public ssh.PublicKey, passphrase Passphrase) (age.Identity, error) {
	if passphrase == nil {
		return nil, errors.New("read SSH key: it has a passphrase, and there is nobody to ask")
	}
	if public == nil {
		return nil, errors.New("read SSH key: it has a passphrase and an old format; ssh-keygen -p -f FILE writes the new one")
	}
	if public.Type() != ssh.KeyAlgoED25519 {
		return nil, errors.New("read SSH key: only ssh-ed25519 keys open secrets")
	}
	id, err := agessh.NewEncryptedSSHIdentity(public, pem, func() ([]byte, error) { return passphrase(file) })
	if err != nil {
		return nil, fmt.Errorf("read SSH key: %w", err)
	}
	return locked{id, file}, nil
}

// locked is an SSH key with a passphrase. That it could not be unlocked says
// nothing about the age file.
type locked struct {
	*agessh.EncryptedSSHIdentity
	file string
}

// Unwrap asks for the passphrase where the file is for this key.
func (l locked) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	key, err := l.EncryptedSSHIdentity.Unwrap(stanzas)
	if err != nil && !errors.Is(err, age.ErrIncorrectIdentity) {
		return nil, &lockedError{fmt.Errorf("unlock %s: %w", l.file, err)}
	}
	return key, err
}

// lockedError is a passphrase that was wrong, or not given.
type lockedError struct{ error }

func (e *lockedError) Unwrap() error { return e.error }

// GenerateAgeIdentity makes a new identity, saves it (0600) unless there is a
// file already, and returns its recipient "age1…".
func GenerateAgeIdentity(file string) (recipient string, err error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("generate age identity: %w", err)
	}
	recipient = id.Recipient().String()
	err = writeSecret(file, []byte("# public key: "+recipient+"\n"+id.String()+"\n"))
	if errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("generate age identity: %s is there already; a lost one opens nothing any more", file)
	}
	return recipient, err
}
