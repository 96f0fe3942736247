package spec

import (
	"fmt"
	"slices"
)

// SetCA says which root is the fleet's: its fingerprint, "SHA256:…".
func (l *Lock) SetCA(fleet, fingerprint string) error {
	if !isName(fleet) || !isFingerprint(fingerprint) {
		return fmt.Errorf("%s: \"ca %s %s\" is no entry", LockFile, fleet, fingerprint)
	}
	l.ca = fleet + " " + fingerprint
	return nil
}

// AddAuthority lets a host issue certificates, and says whether that is new.
func (l *Lock) AddAuthority(host string) (added bool) {
	if _, known := l.authorities[host]; known {
		return false
	}
	if l.authorities == nil {
		l.authorities = map[string]lockPlace{}
	}
	l.authorities[host] = lockPlace{text: "authority " + host, rng: fileStart(LockFile)}
	return true
}

// RemoveAuthority ends that, and says whether the host was one.
func (l *Lock) RemoveAuthority(host string) (removed bool) {
	if !slices.Contains(l.Authorities(), host) {
		return false
	}
	delete(l.authorities, host)
	return true
}
