package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
)

// MaxPEM bounds a PEM text of certificates, in bytes. A bundle of two roots or
// a chain has less than 2 KiB.
const MaxPEM = 64 << 10

// ErrForm is what is no certificate, key or request of the form that this
// package makes.
var ErrForm = errors.New("not of the form of the mesh's certificates")

const (
	pemCertificate = "CERTIFICATE"
	pemRequest     = "CERTIFICATE REQUEST"
	pemKey         = "PRIVATE KEY"
)

// newCertKey makes a key of a certificate: ECDSA on P-256. Envoy offers ECDSA and
// RSA signatures only, so a peer cannot show it an ed25519 certificate; and of
// the curves P-256 is the one that every release of it has taken.
func newCertKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return key, nil
}

// p256 is a public key on P-256; other keys are refused everywhere.
func p256(key any) (*ecdsa.PublicKey, error) {
	k, ok := key.(*ecdsa.PublicKey)
	if !ok || k.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: the key is not ECDSA on P-256", ErrForm)
	}
	return k, nil
}

// newSerial is 127 random bits: positive, never zero, not to be guessed.
func newSerial() (*big.Int, error) {
	var raw [16]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return nil, fmt.Errorf("choose serial number: %w", err)
	}
	raw[0] = raw[0]&0x7f | 0x40
	return new(big.Int).SetBytes(raw[:]), nil
}

// keyHash is the SHA-256 of a public key in its certificate's form.
func keyHash(key *ecdsa.PublicKey) ([32]byte, error) {
	raw, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return [32]byte{}, fmt.Errorf("encode public key: %w", err)
	}
	return sha256.Sum256(raw), nil
}

// Fingerprint names a certificate's key, "SHA256:BASE64" as the lock has it.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// EncodeCertificates is PEM of certificates, in their order.
func EncodeCertificates(all ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range all {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: c.Raw})...)
	}
	return out
}

// ParseCertificates reads PEM of 1 to most certificates with P-256 keys, and
// nothing else: text between them, headers and other blocks are refused.
func ParseCertificates(text []byte, most int) ([]*x509.Certificate, error) {
	blocks, err := pemBlocks(text, most)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, b := range blocks {
		if b.Type != pemCertificate {
			return nil, fmt.Errorf("%w: a block %.40q among certificates", ErrForm, b.Type)
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrForm, err)
		}
		if _, err := p256(c.PublicKey); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// encodeKey is a private key as PKCS#8 in PEM.
func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: raw}), nil
}

// parseKey reads what encodeKey wrote. Errors never quote it.
func parseKey(b *pem.Block) (*ecdsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if b.Type != pemKey || err != nil || !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: no private key on P-256", ErrForm)
	}
	return key, nil
}

// pemBlocks reads 1 to most blocks of PEM.
func pemBlocks(text []byte, most int) ([]*pem.Block, error) {
	if len(text) > MaxPEM {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are taken", ErrForm, len(text), MaxPEM)
	}
	var blocks []*pem.Block
	for more := true; more; more = len(text) > 0 {
		block, rest, err := pemBlock(text)
		if err != nil {
			return nil, err
		}
		if blocks = append(blocks, block); len(blocks) > most {
			return nil, fmt.Errorf("%w: more than %d blocks of PEM", ErrForm, most)
		}
		text = rest
	}
	return blocks, nil
}

// pemBlock reads a block of PEM in exactly the form in which it is written
// here, and says what follows it.
func pemBlock(text []byte) (block *pem.Block, rest []byte, err error) {
	block, rest = pem.Decode(text)
	if block == nil || len(block.Headers) > 0 || !bytes.Equal(pem.EncodeToMemory(block), text[:len(text)-len(rest)]) {
		return nil, nil, fmt.Errorf("%w: not plain PEM", ErrForm)
	}
	return block, rest, nil
}

// keyed reads a private key, and says what follows it.
func keyed(text []byte) (key *ecdsa.PrivateKey, rest []byte, err error) {
	if len(text) > MaxPEM {
		return nil, nil, fmt.Errorf("%w: %d bytes, at most %d are taken", ErrForm, len(text), MaxPEM)
	}
	block, rest, err := pemBlock(text)
	if err != nil {
		return nil, nil, err
	}
	key, err = parseKey(block)
	return key, rest, err
}

// sign makes a certificate and reads it again, as everybody else will.
func sign(template, parent *x509.Certificate, public *ecdsa.PublicKey, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.SignatureAlgorithm = x509.ECDSAWithSHA256
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("read signed certificate: %w", err)
	}
	return c, nil
}
