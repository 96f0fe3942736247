package xds

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Kept is what a file held when it was good: a certificate with its key, or roots
// without one. A bad file does not replace it before it ends.
type Kept struct {
	Leaf
	Until time.Time
}

// keep notes what a file holds as good, for the builds to come.
func (b *builder) keep(secret string, leaf Leaf, until time.Time) {
	if b.kept == nil {
		b.kept = map[string]Kept{}
	}
	b.kept[secret] = Kept{leaf, until}
}

// before is what the last build had of a secret's file, where that has not ended.
func (b *builder) before(secret string) (Kept, *x509.Certificate, bool) {
	kept, ok := b.in.Kept[secret]
	if !ok || b.in.Now.After(kept.Until) {
		return Kept{}, nil, false
	}
	block := findPEM(kept.Chain, "CERTIFICATE")
	if block == nil {
		return Kept{}, nil, false
	}
	first, err := x509.ParseCertificate(block.Bytes)
	return kept, first, err == nil
}

// chosen is the certificate to use of a secret: its file's, or the one before where
// the file's cannot be used, or serves fewer of some hosts. why is what stands
// against the file's then. The error is that there is none.
func (b *builder) chosen(secret string, hosts []string, read func() (Leaf, *x509.Certificate, error)) (leaf Leaf, c *x509.Certificate, why string, err error) {
	leaf, c, err = read()
	kept, old, ok := b.before(secret)
	if ok && (err != nil || b.worth(c, hosts) < b.worth(old, hosts)) {
		if why = b.against(c, hosts) + "; deploy a good one"; err != nil {
			why = err.Error()
		}
		leaf, c, err = kept.Leaf, old, nil
	}
	if err == nil {
		b.keep(secret, leaf, c.NotAfter)
	}
	return leaf, c, why, err
}

// instead says that the certificate of before is used, and until when.
func instead(c *x509.Certificate, file, why string) string {
	return fmt.Sprintf("with the certificate from before, which ends on %s, since that of %s cannot be used: %s",
		c.NotAfter.UTC().Format(dayAndTime), cmp.Or(file, "its file"), why)
}

const dayAndTime = "2006-01-02 15:04 MST"

// worth orders certificates by how many clients of some hosts they are good for.
func (b *builder) worth(c *x509.Certificate, hosts []string) int {
	if b.outside(c) != "" {
		return 0
	}
	n := 1
	for _, host := range hosts {
		if isFor(c, host) {
			n++
		}
	}
	return n
}

// against is the first thing that stands against a certificate for some hosts.
func (b *builder) against(c *x509.Certificate, hosts []string) string {
	if c == nil {
		return ""
	}
	if why := b.outside(c); why != "" {
		return "it " + why
	}
	for _, host := range hosts {
		if !isFor(c, host) {
			return "it is not for " + host
		}
	}
	return ""
}

// outside says that a certificate has ended or not begun, "" while it holds.
func (b *builder) outside(c *x509.Certificate) string {
	switch now := b.in.Now; {
	case !now.IsZero() && now.After(c.NotAfter):
		return "ended on " + c.NotAfter.UTC().Format(dayAndTime)
	case !now.IsZero() && now.Before(c.NotBefore):
		return "begins on " + c.NotBefore.UTC().Format(dayAndTime)
	default:
		return ""
	}
}

// readRoots reads certificates from PEM in which there is nothing else of use, and
// until when the last of them holds.
func readRoots(text []byte) (roots []byte, until time.Time, err error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		if text = rest; block.Type != "CERTIFICATE" {
			continue
		}
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, time.Time{}, errors.New("a certificate in it is damaged")
		}
		if root.NotAfter.After(until) {
			until = root.NotAfter
		}
		roots = append(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes})...)
	}
	if roots == nil {
		return nil, time.Time{}, errors.New("there is no certificate in it")
	}
	return roots, until, nil
}
