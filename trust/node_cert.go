package trust

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// NamespaceNode is the SSHSIG namespace of node certificates.
const NamespaceNode = "nixmesh-node"

// maxNodeCert bounds the text of a node certificate; a real one has 600 bytes.
const maxNodeCert = 4 << 10

// Errors of node certificates.
var (
	ErrNodeCert = errors.New("not a node certificate")
	ErrNodeOld  = errors.New("there is a newer node certificate of this host")
)

// nodeSchema is the first line of a node certificate.
const nodeSchema = "nixmesh-node-cert 1"

// NodeCert says which node key is a host's. The host's SSH key, which the fleet
// pins, signs it. As text it is four lines and an SSH signature over them:
//
//	nixmesh-node-cert 1
//	host db1
//	key ed25519:BASE64
//	created 2026-11-21T15:00:00Z
//	-----BEGIN SSH SIGNATURE-----
//	…
//
// Its fields are claims until Verify has been asked.
type NodeCert struct {
	Host    string
	Key     NodePublic
	Created time.Time // UTC, whole seconds

	signature string
}

// NewNodeCert signs a node key with the SSH host key. A certificate that the
// host has already is given as before, nil where there is none: the new one is
// always later, even on a clock that went back, since the newest one wins.
func NewNodeCert(hostKey ssh.Signer, host string, key NodePublic, before *NodeCert, now time.Time) (NodeCert, error) {
	if !nameForm.MatchString(host) {
		return NodeCert{}, fmt.Errorf("make node certificate: %q is not the name of a host", host)
	}
	c := NodeCert{Host: host, Key: key, Created: now.UTC().Truncate(time.Second)}
	if before != nil && before.Host == host && !c.Created.After(before.Created) {
		c.Created = before.Created.Add(time.Second)
	}
	var err error
	if c.signature, err = Sign(hostKey, NamespaceNode, c.message()); err != nil {
		return NodeCert{}, fmt.Errorf("make node certificate: %w", err)
	}
	return c, nil
}

func (c NodeCert) message() []byte {
	return fmt.Appendf(nil, "%s\nhost %s\nkey %s\ncreated %s\n", nodeSchema, c.Host, c.Key, c.Created.Format(time.RFC3339))
}

// Text is the certificate as it is kept and sent.
func (c NodeCert) Text() []byte { return append(c.message(), c.signature...) }

// ParseNodeCert reads a certificate in the one form that Text writes. The
// signature is not checked: Verify needs the pinned host key.
func ParseNodeCert(text []byte) (NodeCert, error) {
	if len(text) > maxNodeCert {
		return NodeCert{}, fmt.Errorf("%w: %d bytes, at most %d are taken", ErrNodeCert, len(text), maxNodeCert)
	}
	message, signature, _ := strings.Cut(string(text), sigBegin)
	lines := strings.Split(message, "\n")
	if len(lines) != 5 || lines[0] != nodeSchema {
		return NodeCert{}, fmt.Errorf("%w: want %q, three lines and a signature", ErrNodeCert, nodeSchema)
	}
	host, _ := strings.CutPrefix(lines[1], "host ")
	if !nameForm.MatchString(host) {
		return NodeCert{}, fmt.Errorf("%w: %.80q names no host", ErrNodeCert, lines[1])
	}
	public, _ := strings.CutPrefix(lines[2], "key ")
	key, err := ParseNodePublic(public)
	if err != nil {
		return NodeCert{}, fmt.Errorf("%w: %w", ErrNodeCert, err)
	}
	moment, _ := strings.CutPrefix(lines[3], "created ")
	created, err := time.Parse(time.RFC3339, moment)
	if err != nil {
		return NodeCert{}, fmt.Errorf("%w: %.80q names no time", ErrNodeCert, lines[3])
	}
	c := NodeCert{Host: host, Key: key, Created: created.UTC(), signature: sigBegin + signature}
	blob, err := dearmor(c.signature)
	if err != nil {
		return NodeCert{}, fmt.Errorf("%w: %w", ErrNodeCert, err)
	}
	if c.signature != armor(append([]byte(sigMagic), blob...)) || !bytes.Equal(c.Text(), text) {
		return NodeCert{}, fmt.Errorf("%w: not in its usual form", ErrNodeCert)
	}
	return c, nil
}

// Verify checks that the certificate is a host's, by the host key that the
// fleet pins: "ssh-ed25519 BASE64". With another pinned key every certificate
// of the former is worth nothing.
func (c NodeCert) Verify(host, hostKey string) error {
	if c.Host != host {
		return fmt.Errorf("%w of %q: it is of %q", ErrNodeCert, host, c.Host)
	}
	if hostKey == "" {
		return fmt.Errorf("%w of %q: the fleet pins no SSH key of that host", ErrNodeCert, host)
	}
	if _, err := Verify(c.signature, NamespaceNode, c.message(), []string{hostKey}); err != nil {
		return fmt.Errorf("%w of %q: %w", ErrNodeCert, host, err)
	}
	return nil
}

// Newer says whether a certificate wins over another of the same host: the
// later one, and of two of one second the one whose text is greater, so that
// everybody decides alike.
func (c NodeCert) Newer(other NodeCert) bool {
	if !c.Created.Equal(other.Created) {
		return c.Created.After(other.Created)
	}
	return bytes.Compare(c.message(), other.message()) > 0
}
