package xds

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// madeUp is a key that nobody keeps, and a certificate of it that nobody vouches for:
// for the names of another one, and of its kind, so that Envoy finds with it what it
// would find with that one.
func madeUp(secret string, like []byte) (Leaf, error) { return madeUpFor(secret, like, nil) }

// madeUpFor is madeUp, for these names where there is no other certificate.
func madeUpFor(secret string, like []byte, names []string) (Leaf, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		BasicConstraintsValid: true, IsCA: true, Subject: pkix.Name{CommonName: secret}, DNSNames: names,
	}
	var key crypto.Signer
	var err error
	original := firstCertificate(like)
	if original != nil {
		template.DNSNames, template.URIs, template.IPAddresses = original.DNSNames, original.URIs, original.IPAddresses
		template.IsCA = false
	}
	if original != nil && original.PublicKeyAlgorithm == x509.RSA {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return Leaf{}, fmt.Errorf("make up a key for %s: %w", secret, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return Leaf{}, fmt.Errorf("make up a certificate for %s: %w", secret, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Leaf{}, fmt.Errorf("make up a key for %s: %w", secret, err)
	}
	return Leaf{
		Chain: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}, nil
}

// firstCertificate is that of a chain as PEM, nil where it cannot be read.
func firstCertificate(chain []byte) *x509.Certificate {
	block, _ := pem.Decode(chain)
	if block == nil {
		return nil
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return certificate
}
