package trust

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"filippo.io/age"
)

// AgeHeader is what anybody can read of an age file: for whom it is, as far as
// age tells. X25519 recipients are anonymous, so only their number is known;
// an SSH recipient has a tag, which is its key's (SSHTag) but proves nothing.
type AgeHeader struct {
	X25519  int
	SSHTags []string // of ssh-ed25519 recipients, in the order of the file
	Others  []string // types of further recipients: "scrypt", "ssh-rsa", …
}

// AgeRecipients reads the header of an age file. A file that is none, or whose
// header is damaged, is an ErrNotAge.
func AgeRecipients(file string) (AgeHeader, error) {
	text, err := readAge(file)
	if err != nil {
		return AgeHeader{}, err
	}
	return ParseAgeHeader(text)
}

// readAge reads an age file as far as one may go; what is longer is found to
// be cut off. A pipe, which could be waited for in vain, is not opened.
func readAge(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "read", Path: file, Err: errors.New("it is not a regular file")}
	}
	if err != nil {
		return nil, fmt.Errorf("read age file: %w", err)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read age file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxAgeFile+1))
	if err != nil {
		return nil, fmt.Errorf("read age file: %w", err)
	}
	return text, nil
}

// ParseAgeHeader reads the header of an age file's content, armored or not.
func ParseAgeHeader(file []byte) (AgeHeader, error) {
	raw, err := age.ExtractHeader(unarmored(file))
	if err != nil {
		return AgeHeader{}, ErrNotAge
	}
	var all stanzas
	// The identity opens nothing and keeps what it was shown.
	_, _ = age.DecryptHeader(raw, &all)
	var h AgeHeader
	for _, s := range all {
		switch {
		case s.Type == "X25519":
			h.X25519++
		case s.Type == "ssh-ed25519" && len(s.Args) > 0:
			h.SSHTags = append(h.SSHTags, s.Args[0])
		default:
			h.Others = append(h.Others, s.Type)
		}
	}
	return h, nil
}

// stanzas is an identity that notes the recipients of a file.
type stanzas []*age.Stanza

// Unwrap fits nothing.
func (s *stanzas) Unwrap(all []*age.Stanza) ([]byte, error) {
	*s = all
	return nil, age.ErrIncorrectIdentity
}

// SSHTag is by what an age file names an SSH recipient: the first four bytes
// of the SHA-256 of the key, in base64.
func SSHTag(publicKey string) (string, error) {
	key, err := sshPublicKey(publicKey)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(key.Marshal())
	return base64.RawStdEncoding.EncodeToString(sum[:4]), nil
}
