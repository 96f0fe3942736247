package trust

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Purpose keeps a node's signature over one kind of thing from serving as one
// over another.
type Purpose string

// Purposes of node signatures.
const (
	PurposeRecord      Purpose = "record"              // of the catalog
	PurposeDigest      Purpose = "digest"              // of the catalog
	PurposeOverride    Purpose = "override"            // a drain of the node's own
	PurposeCertificate Purpose = "certificate-request" // of a workload certificate
)

// nodeMagic begins whatever a node key signs. TLS, which the key signs for,
// too, begins with 64 spaces.
const nodeMagic = "nixmesh-node-signature/1"

// ErrNodeSignature is a signature that the node did not make.
var ErrNodeSignature = errors.New("not signed by this node")

// NodeKey is a host's own key, by which its agent speaks. A root oneshot makes
// it; the agent is given it and never sees the SSH host key.
type NodeKey struct{ private ed25519.PrivateKey }

// NodePublic is the public half, "ed25519:BASE64" as text.
type NodePublic [ed25519.PublicKeySize]byte

// GenerateNodeKey makes a new key.
func GenerateNodeKey() (NodeKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return NodeKey{}, fmt.Errorf("generate node key: %w", err)
	}
	return NodeKey{private}, nil
}

// ParseNodeKey reads what Secret wrote: PKCS#8 in PEM.
func ParseNodeKey(text []byte) (NodeKey, error) {
	block, rest, err := pemBlock(text)
	if err != nil || block.Type != pemKey || len(rest) > 0 {
		return NodeKey{}, fmt.Errorf("read node key: %w", ErrForm)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return NodeKey{}, fmt.Errorf("read node key: %w: no ed25519 key", ErrForm)
	}
	return NodeKey{private}, nil
}

// Secret is the key as its file holds it.
func (k NodeKey) Secret() ([]byte, error) {
	raw, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("encode node key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: raw}), nil
}

// Public is the public half.
func (k NodeKey) Public() NodePublic { return NodePublic(k.private.Public().(ed25519.PublicKey)) }

// String never shows the key.
func (k NodeKey) String() string { return k.Public().String() }

// TLS is the key for the agent's own TLS listener.
func (k NodeKey) TLS() crypto.Signer { return k.private }

// Sign signs a message for a purpose: 64 bytes.
func (k NodeKey) Sign(purpose Purpose, message []byte) []byte {
	return ed25519.Sign(k.private, nodeMessage(purpose, message))
}

// Verify checks a signature of Sign.
func (p NodePublic) Verify(purpose Purpose, message, signature []byte) error {
	if len(signature) != ed25519.SignatureSize || !ed25519.Verify(p[:], nodeMessage(purpose, message), signature) {
		return ErrNodeSignature
	}
	return nil
}

// nodeMessage is what is signed. A purpose holds no NUL, so no two pairs of
// purpose and message give the same bytes.
func nodeMessage(purpose Purpose, message []byte) []byte {
	return bytes.Join([][]byte{[]byte(nodeMagic), []byte(purpose), message}, []byte{0})
}

const nodePublicPrefix = "ed25519:"

func (p NodePublic) String() string {
	return nodePublicPrefix + base64.StdEncoding.EncodeToString(p[:])
}

// ParseNodePublic reads what String writes, and no other spelling of it.
func ParseNodePublic(text string) (NodePublic, error) {
	body, ok := strings.CutPrefix(text, nodePublicPrefix)
	raw, err := base64.StdEncoding.Strict().DecodeString(body)
	if !ok || err != nil || len(raw) != ed25519.PublicKeySize || NodePublic(raw).String() != text {
		return NodePublic{}, fmt.Errorf("%w: %.80q is no node key (ed25519:BASE64)", ErrForm, text)
	}
	return NodePublic(raw), nil
}
