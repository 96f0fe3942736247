package trust

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Namespaces keep a signature made for one purpose from serving another.
const (
	NamespaceRelease = "nixmesh-release"
)

// Errors of a verification.
var (
	ErrNotSigned  = errors.New("not an SSH signature")
	ErrNamespace  = errors.New("signature is for another purpose")
	ErrNotAllowed = errors.New("signer is not allowed")
	ErrBad        = errors.New("signature does not match")
)

// The format is OpenSSH's PROTOCOL.sshsig, version 1.
const (
	sigMagic   = "SSHSIG"
	sigVersion = 1
	sigHash    = "sha512"
	sigBegin   = "-----BEGIN SSH SIGNATURE-----"
	sigEnd     = "-----END SSH SIGNATURE-----"
	sigMaxSize = 16 << 10 // armored; a real one has some 300 bytes
)

type sigBlob struct {
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  []byte
	Hash      string
	Signature []byte
}

type sigMessage struct {
	Namespace string
	Reserved  []byte
	Hash      string
	Digest    []byte
}

// Sign makes an armored SSHSIG over message, as `ssh-keygen -Y sign` does.
// The key has to be an ed25519 key, in software or on a hardware token.
func Sign(signer ssh.Signer, namespace string, message []byte) (string, error) {
	public := signer.PublicKey()
	if !signs(public.Type()) {
		return "", fmt.Errorf("sign with %s: a %s key cannot sign for nixmesh, only ssh-ed25519 and sk-ssh-ed25519 can",
			ssh.FingerprintSHA256(public), public.Type())
	}
	sig, err := signer.Sign(rand.Reader, signedBytes(namespace, message))
	if err != nil {
		return "", fmt.Errorf("sign with %s: %w", ssh.FingerprintSHA256(public), err)
	}
	blob := append([]byte(sigMagic), ssh.Marshal(sigBlob{
		Version: sigVersion, PublicKey: public.Marshal(), Namespace: namespace, Hash: sigHash, Signature: ssh.Marshal(sig),
	})...)
	return armor(blob), nil
}

// Verify checks an armored SSHSIG over message against authorized_keys lines,
// and returns the line whose key made it. Only the namespace asked for, SHA-512
// and ed25519 keys are accepted.
func Verify(sig, namespace string, message []byte, allowed []string) (line string, err error) {
	blob, err := dearmor(sig)
	if err != nil {
		return "", err
	}
	var b sigBlob
	if err := ssh.Unmarshal(blob, &b); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotSigned, err)
	}
	if b.Version != sigVersion || b.Hash != sigHash || len(b.Reserved) != 0 {
		return "", fmt.Errorf("%w: version %d with hash %q is not known", ErrNotSigned, b.Version, b.Hash)
	}
	if b.Namespace != namespace {
		return "", fmt.Errorf("%w: it says %q, this is %q", ErrNamespace, b.Namespace, namespace)
	}
	key, line, err := findAllowed(b.PublicKey, allowed)
	if err != nil {
		return "", err
	}
	var inner ssh.Signature
	if err := ssh.Unmarshal(b.Signature, &inner); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotSigned, err)
	}
	if inner.Format != key.Type() {
		return "", fmt.Errorf("%w: a %s signature of a %s key", ErrBad, inner.Format, key.Type())
	}
	if err := key.Verify(signedBytes(namespace, message), &inner); err != nil {
		return "", fmt.Errorf("%w: %w", ErrBad, err)
	}
	return line, nil
}

// findAllowed is the line whose key is the one that the signature names. A
// line that cannot be read allows nobody.
func findAllowed(public []byte, allowed []string) (ssh.PublicKey, string, error) {
	for _, line := range allowed {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err == nil && signs(key.Type()) && bytes.Equal(key.Marshal(), public) {
			return key, line, nil
		}
	}
	name := "a key that cannot be read"
	if key, err := ssh.ParsePublicKey(public); err == nil {
		name = ssh.FingerprintSHA256(key)
	}
	return nil, "", fmt.Errorf("%w: %s is none of the %d keys allowed", ErrNotAllowed, name, len(allowed))
}

func signs(keyType string) bool {
	return keyType == ssh.KeyAlgoED25519 || keyType == ssh.KeyAlgoSKED25519
}

func signedBytes(namespace string, message []byte) []byte {
	digest := sha512.Sum512(message)
	return append([]byte(sigMagic), ssh.Marshal(sigMessage{Namespace: namespace, Hash: sigHash, Digest: digest[:]})...)
}

// armor wraps at 70 columns, as ssh-keygen does.
func armor(blob []byte) string {
	text := base64.StdEncoding.EncodeToString(blob)
	var b strings.Builder
	b.WriteString(sigBegin + "\n")
	for len(text) > 70 {
		b.WriteString(text[:70] + "\n")
		text = text[70:]
	}
	b.WriteString(text + "\n" + sigEnd + "\n")
	return b.String()
}

func dearmor(text string) ([]byte, error) {
	if len(text) > sigMaxSize {
		return nil, fmt.Errorf("%w: %d bytes are too many", ErrNotSigned, len(text))
	}
	body, ok := strings.CutPrefix(strings.TrimSpace(text), sigBegin)
	if !ok {
		return nil, fmt.Errorf("%w: no %q", ErrNotSigned, sigBegin)
	}
	if body, ok = strings.CutSuffix(body, sigEnd); !ok {
		return nil, fmt.Errorf("%w: no %q", ErrNotSigned, sigEnd)
	}
	blob, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(body), ""))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSigned, err)
	}
	rest, ok := bytes.CutPrefix(blob, []byte(sigMagic))
	if !ok {
		return nil, fmt.Errorf("%w: no %s magic", ErrNotSigned, sigMagic)
	}
	return rest, nil
}
