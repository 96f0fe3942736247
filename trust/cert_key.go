package trust

import (
	"crypto/tls"
	"fmt"
)

// Leaf is a service's certificate with its key, as a host keeps it and its
// proxy uses it.
type Leaf struct {
	Service string
	Chain   Chain
	key     LeafKey
}

// Join puts a key and the chain that answers its request together. It checks
// that they belong together and whose they are; not the time, nor the roots.
func (k LeafKey) Join(c Chain, domain Domain) (Leaf, error) {
	service, err := c.Service(domain)
	if err != nil {
		return Leaf{}, err
	}
	if !k.key.PublicKey.Equal(c[0].PublicKey) {
		return Leaf{}, fmt.Errorf("%w: key and leaf do not belong together", ErrForm)
	}
	return Leaf{service, c, k}, nil
}

// KeyPEM is the private key in PEM.
func (l Leaf) KeyPEM() ([]byte, error) { return encodeKey(l.key.key) }

// Secret is the leaf as its host keeps it: key and chain in PEM.
func (l Leaf) Secret() ([]byte, error) {
	key, err := l.KeyPEM()
	if err != nil {
		return nil, err
	}
	return append(key, l.Chain.PEM()...), nil
}

// String never shows the key.
func (l Leaf) String() string { return "leaf of " + l.Service }

// ParseLeaf reads what Secret wrote.
func ParseLeaf(secret []byte, domain Domain) (Leaf, error) {
	key, rest, err := keyed(secret)
	if err != nil {
		return Leaf{}, fmt.Errorf("read leaf: %w", err)
	}
	chain, err := ParseChain(rest)
	if err != nil {
		return Leaf{}, fmt.Errorf("read leaf: %w", err)
	}
	leaf, err := LeafKey{key: key}.Join(chain, domain)
	if err != nil {
		return Leaf{}, fmt.Errorf("read leaf: %w", err)
	}
	return leaf, nil
}

// TLS is the leaf as crypto/tls takes it.
func (l Leaf) TLS() tls.Certificate {
	c := tls.Certificate{PrivateKey: l.key.key, Leaf: l.Chain[0]}
	for _, one := range l.Chain {
		c.Certificate = append(c.Certificate, one.Raw)
	}
	return c
}
