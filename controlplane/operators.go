package controlplane

import (
	"errors"
	"maps"
	"slices"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// overrideNamespace is the purpose that an operator's signature of an override
// names.
const overrideNamespace = "nixmesh-override"

var (
	errRevoked  = errors.New("the key was removed from the fleet")
	errStranger = errors.New("the key is no operator's")
)

// maxRevoked bounds the file of removed keys, in bytes.
const maxRevoked = 1 << 20

// operators are the people whose signatures count on this host: its facts say
// who, and its memory of removed keys says whose no more.
type operators struct {
	keys    map[string][]string // operator -> public keys
	revoked []string            // public keys
}

func newOperators(list []hostfacts.Operator, revoked []byte) *operators {
	o := &operators{keys: map[string][]string{}}
	for _, operator := range list {
		o.keys[operator.Name] = append(o.keys[operator.Name], operator.Sign...)
	}
	for _, key := range hostfacts.ParseRevoked(revoked) {
		if hostfacts.SigningKey(key) != "" { // the list has nix keys, too
			o.revoked = append(o.revoked, key)
		}
	}
	return o
}

// signers are the operators as package mesh judges documents by.
func (o *operators) signers() *mesh.Signers {
	return &mesh.Signers{Verify: trust.Verify, Keys: o.keys, Revoked: o.revoked}
}

// signer names the operator who signed an override.
func (o *operators) signer(message, signature []byte) (string, error) {
	all := slices.Clone(o.revoked)
	for _, name := range slices.Sorted(maps.Keys(o.keys)) {
		all = append(all, o.keys[name]...)
	}
	line, err := trust.Verify(string(signature), overrideNamespace, message, all)
	if err != nil {
		return "", err
	}
	if holdsKey(o.revoked, line) {
		return "", errRevoked
	}
	for _, name := range slices.Sorted(maps.Keys(o.keys)) {
		if holdsKey(o.keys[name], line) {
			return name, nil
		}
	}
	return "", errStranger
}

// equal says whether the same keys count.
func (o *operators) equal(p *operators) bool {
	return maps.EqualFunc(o.keys, p.keys, slices.Equal) && slices.Equal(o.revoked, p.revoked)
}

// holdsKey compares keys without the options and comments around them.
func holdsKey(lines []string, line string) bool {
	return slices.ContainsFunc(lines, func(l string) bool { return hostfacts.SigningKey(l) == hostfacts.SigningKey(line) })
}
