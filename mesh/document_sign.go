package mesh

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Errors of Signers.Verify, besides those of the Verifier.
var (
	ErrRevoked  = errors.New("the key was removed from the fleet")
	ErrOperator = errors.New("the signature is another operator's")
)

// Signer makes an armored SSHSIG over a message.
type Signer func(namespace string, message []byte) (signature string, err error)

// Verifier checks an armored SSHSIG over a message against public keys, lines as
// in authorized_keys, and gives the line whose key made it. It is what
// trust.Verify is.
type Verifier func(signature, namespace string, message []byte, keys []string) (line string, err error)

// Sign validates the document and puts an operator's signature under it.
func (d *Document) Sign(sign Signer) error {
	if err := d.checkUnsigned(); err != nil {
		return fmt.Errorf("sign mesh document: %w", err)
	}
	signature, err := sign(Namespace, d.Signed())
	if err != nil {
		return fmt.Errorf("sign mesh document: %w", err)
	}
	signed := *d
	signed.Signature = signature
	if err := signed.Validate(); err != nil {
		return fmt.Errorf("sign mesh document: %w", err)
	}
	if n := len(signed.Canonical()); n > MaxSize {
		return fmt.Errorf("sign mesh document: %d bytes, at most %d are taken", n, MaxSize)
	}
	d.Signature = signature
	return nil
}

// Signers are the keys by which a host judges who signed. They are its own
// facts, never a document's: who may sign cannot be told by what is signed.
type Signers struct {
	Verify  Verifier
	Keys    map[string][]string // operator -> public keys, of the host's generation
	Revoked []string            // public keys that a committed release removed; they stay refused
}

// Check says whether the operator that a document names signed it, with a key
// that the host knows and that was never removed. A key that is in both lists
// is refused: a generation that comes back does not bring its keys back.
func (s *Signers) Check(d *Document) error { return s.check(d, d.Signed()) }

func (s *Signers) check(d *Document, signed []byte) error {
	var keys []string
	for _, operator := range slices.Sorted(maps.Keys(s.Keys)) {
		keys = append(keys, s.Keys[operator]...)
	}
	line, err := s.Verify(d.Signature, Namespace, signed, append(keys, s.Revoked...))
	if err != nil {
		return err
	}
	if holdsKey(s.Revoked, line) {
		return fmt.Errorf("%w: it was one of %s", ErrRevoked, d.Operator)
	}
	if !holdsKey(s.Keys[d.Operator], line) {
		return fmt.Errorf("%w: the document names %s, the key is one of %s", ErrOperator, d.Operator, s.ownerOf(line))
	}
	return nil
}

func (s *Signers) ownerOf(line string) string {
	for _, operator := range slices.Sorted(maps.Keys(s.Keys)) {
		if holdsKey(s.Keys[operator], line) {
			return operator
		}
	}
	return "nobody"
}

// holdsKey compares keys without the options and comments around them.
func holdsKey(lines []string, line string) bool {
	return slices.ContainsFunc(lines, func(l string) bool { return keyIn(l) == keyIn(line) })
}

// keyIn is the key of a line as in authorized_keys: in base64 all begin so.
func keyIn(line string) string {
	for _, field := range strings.Fields(line) {
		if strings.HasPrefix(field, "AAAA") {
			return field
		}
	}
	return line
}
