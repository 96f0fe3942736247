package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	agearmor "filippo.io/age/armor"
	"golang.org/x/crypto/ssh"
)

// MaxSecret is the largest clear text of a secret, in bytes: systemd takes no
// larger credential.
const MaxSecret = 1 << 20

// maxAgeFile bounds an age file: a secret of MaxSecret in armor, and a header
// with thousands of recipients.
const maxAgeFile = 2 << 20

// Errors of age files.
var (
	// ErrNotAge is what is no age file. age's own words are left out: they
	// quote the file, which may be a secret that somebody forgot to encrypt.
	ErrNotAge = errors.New("not an age file, or a damaged one")
	// ErrOtherRecipients is an age file that none of the identities opens.
	ErrOtherRecipients = errors.New("encrypted for other keys")
	// ErrSecretTooLarge is a clear text of more than MaxSecret bytes.
	ErrSecretTooLarge = errors.New("a secret may have 1 MiB, as systemd takes no larger credential")
)

// Encrypt makes an armored age file that each recipient can open: "age1…" of
// X25519, or the line of an ssh-ed25519 key. A recipient given twice counts
// once. Two calls never give the same bytes.
func Encrypt(plaintext []byte, recipients []string) ([]byte, error) {
	if len(plaintext) > MaxSecret {
		return nil, ErrSecretTooLarge
	}
	to, err := ageRecipients(recipients)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	armored := agearmor.NewWriter(&out)
	w, err := age.Encrypt(armored, to...)
	if err != nil {
		return nil, fmt.Errorf("encrypt secret: %w", err)
	}
	_, err = w.Write(plaintext)
	for _, c := range []io.Closer{w, armored} {
		if e := c.Close(); err == nil {
			err = e
		}
	}
	if err != nil {
		return nil, fmt.Errorf("encrypt secret: %w", err)
	}
	return out.Bytes(), nil
}

// Decrypt opens an age file, armored or not, with the first identity that can.
// A file that was cut off or changed is an error, never a part of its text.
func Decrypt(file []byte, identities ...AgeIdentity) ([]byte, error) {
	var all []age.Identity
	for _, id := range identities {
		all = append(all, id.identities...)
	}
	if len(all) == 0 {
		return nil, errors.New("decrypt secret: no identity to open it with")
	}
	if len(file) > maxAgeFile {
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d are read", ErrNotAge, len(file), maxAgeFile)
	}
	r, err := age.Decrypt(unarmored(file), all...)
	if none := (*age.NoIdentityMatchError)(nil); errors.As(err, &none) {
		return nil, ErrOtherRecipients
	}
	if locked := (*lockedError)(nil); errors.As(err, &locked) {
		return nil, locked
	}
	if err != nil {
		return nil, ErrNotAge
	}
	text, err := io.ReadAll(io.LimitReader(r, MaxSecret+1))
	if err != nil {
		return nil, ErrNotAge
	}
	if len(text) > MaxSecret {
		return nil, ErrSecretTooLarge
	}
	return text, nil
}

// unarmored reads the binary form of an age file.
func unarmored(file []byte) io.Reader {
	if text := bytes.TrimLeft(file, " \t\r\n"); bytes.HasPrefix(text, []byte(agearmor.Header)) {
		return agearmor.NewReader(bytes.NewReader(text))
	}
	return bytes.NewReader(file)
}

func ageRecipients(texts []string) ([]age.Recipient, error) {
	var to []age.Recipient
	var seen []string
	for _, text := range texts {
		r, id, err := ageRecipient(text)
		if err != nil {
			return nil, fmt.Errorf("recipient %q: %w", text, err)
		}
		if !slices.Contains(seen, id) {
			seen, to = append(seen, id), append(to, r)
		}
	}
	if len(to) == 0 {
		return nil, errors.New("encrypt secret: no recipient")
	}
	return to, nil
}

// ageRecipient reads one recipient, and the text by which it is known.
func ageRecipient(text string) (age.Recipient, string, error) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "ssh-") {
		r, err := age.ParseX25519Recipient(text)
		return r, text, err
	}
	key, err := sshPublicKey(text)
	if err != nil {
		return nil, "", err
	}
	r, err := agessh.NewEd25519Recipient(key)
	return r, string(key.Marshal()), err
}

// sshPublicKey reads an ssh-ed25519 key from a line of authorized_keys.
func sshPublicKey(line string) (ssh.PublicKey, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return nil, fmt.Errorf("read SSH key: %w", err)
	}
	if key.Type() != ssh.KeyAlgoED25519 {
		return nil, fmt.Errorf("its type is %s; only ssh-ed25519 keys open secrets", key.Type())
	}
	return key, nil
}
