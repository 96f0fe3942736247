package trust

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// The fleet's file of roots says its trust domain, which its roots share.
func TestParseRoots(t *testing.T) {
	now := time.Now()
	first, err := NewRoot("shop", now)
	if err != nil {
		t.Fatal(err)
	}
	next, err := NextRoot("shop", first.Domain, now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewRoot("shop", now)
	if err != nil {
		t.Fatal(err)
	}
	both := EncodeCertificates(next.Certificate, first.Certificate)
	b, err := ParseRoots(both)
	if err != nil || b.Domain != first.Domain || len(b.Roots()) != 2 {
		t.Errorf("two roots of one domain: %v, %v", b, err)
	}
	if again, err := ParseRoots(b.PEM()); err != nil || !bytes.Equal(again.PEM(), b.PEM()) {
		t.Errorf("read again: %v", err)
	}
	request, err := NewAuthorityRequest("db1")
	if err != nil {
		t.Fatal(err)
	}
	intermediate, err := first.SignAuthority(request.PEM(), "db1", IntermediateTTL, now)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := first.Secret()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"nothing": nil, "text": []byte("no certificate"), "an intermediate": intermediate, "a key": secret,
		"two domains": EncodeCertificates(first.Certificate, other.Certificate),
	} {
		if _, err := ParseRoots(text); !errors.Is(err, ErrForm) && !errors.Is(err, ErrIdentity) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
