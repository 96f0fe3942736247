package trust

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// Domain is the host part of a fleet's SPIFFE names: the fleet's name and
// the first 8 hex digits of its first root's key hash, "shop-3fa9c1d2.nixmesh".
// It outlives that root: a fleet that rotates its root keeps its names.
type Domain string

// Names in certificates. A URI name constraint is held against the host of a
// URI, so a trust domain has to look like a host name; an address would be
// refused by every verifier.
var (
	trustDomainForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
	nameForm        = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
)

// ErrIdentity is a SPIFFE name that is none, or of another trust domain.
var ErrIdentity = errors.New("not an identity of this trust domain")

// ParseDomain checks the form of a trust domain.
func ParseDomain(text string) (Domain, error) {
	if len(text) > 253 || !trustDomainForm.MatchString(text) {
		return "", fmt.Errorf("parse trust domain: %q is not of the form of a host name", text)
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return "", fmt.Errorf("parse trust domain: %q is an address", text)
	}
	return Domain(text), nil
}

// newDomain names the domain that a fleet's first root begins.
func newDomain(fleet string, keyHash [32]byte) (Domain, error) {
	if !nameForm.MatchString(fleet) {
		return "", fmt.Errorf("name trust domain: %q is not the name of a fleet", fleet)
	}
	return ParseDomain(fleet + "-" + hex.EncodeToString(keyHash[:4]) + ".nixmesh")
}

// Fleet is the fleet's name, as the trust domain has it.
func (d Domain) Fleet() string {
	label, _, _ := strings.Cut(string(d), ".")
	if i := strings.LastIndexByte(label, '-'); i > 0 {
		return label[:i]
	}
	return label
}

// uri is the name of the domain itself, which CA certificates carry.
func (d Domain) uri() *url.URL { return &url.URL{Scheme: "spiffe", Host: string(d)} }

// serviceURI is a service's name. The service must have been checked.
func (d Domain) serviceURI(service string) *url.URL {
	return &url.URL{Scheme: "spiffe", Host: string(d), Path: "/svc/" + service}
}

// ServiceID is a service's SPIFFE name, "spiffe://DOMAIN/svc/SERVICE".
func (d Domain) ServiceID(service string) string { return d.serviceURI(service).String() }

// Service reads the service from a SPIFFE name. Only the one spelling that
// ServiceID writes is taken, so that two texts never name one service.
func (d Domain) Service(id string) (string, error) {
	service, ok := strings.CutPrefix(id, string("spiffe://"+d+"/svc/"))
	if !ok || !nameForm.MatchString(service) {
		return "", fmt.Errorf("%w: %.200q, want spiffe://%s/svc/SERVICE", ErrIdentity, id, d)
	}
	return service, nil
}

// holds says whether a list of names is the trust domain's own, alone.
func (d Domain) holds(uris []*url.URL) bool {
	return len(uris) == 1 && uris[0].String() == d.uri().String()
}
