package ca

import (
	"maps"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/trust"
)

// Status is what a person sees of a host's certificates.
type Status struct {
	Identities  []IdentityStatus  // by service
	Authorities []AuthorityStatus // in the order in which this host asks
	SetAside    []string          // files that could not be read
}

// IdentityStatus is one service's certificate on this host.
type IdentityStatus struct {
	Service string
	ID      string     // SPIFFE name, "" before the first leaf
	Placed  bool       // the configuration places the service here
	Life    trust.Life // zero before the first leaf
	Renews  time.Time  // when it is asked for next
	Issuer  string     // "shop CA (db1)"
	Level   trust.Level
	Unknown bool // the host's roots do not vouch for the leaf: the host wants a deploy
	Unsaved bool // it is not on disk, and would be lost in a restart
	Error   string
	ErrorAt time.Time
}

// AuthorityStatus is an authority as this host sees it.
type AuthorityStatus struct {
	Host     string
	Failures int           // since its last answer
	Retry    time.Time     // when it may be asked again, zero = at once
	Skew     time.Duration // its clock less this host's, at its last answer
	Error    string
	ErrorAt  time.Time
}

// Status is the keeper's state now.
func (k *Keeper) Status() Status {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	s := Status{SetAside: slices.Clone(k.aside)}
	for _, service := range slices.Sorted(maps.Keys(k.held)) {
		s.Identities = append(s.Identities, k.held[service].status(service, now))
	}
	if k.fleet == nil {
		return s
	}
	for _, name := range k.authorities() {
		a := AuthorityStatus{Host: name}
		if p := k.peers[name]; p != nil {
			a = AuthorityStatus{name, p.failures, p.retry, p.skew, p.err, p.errAt}
		}
		s.Authorities = append(s.Authorities, a)
	}
	return s
}

// status is one identity's. A service that is placed here and has no leaf is as
// bad as one with an expired leaf.
func (h *held) status(service string, now time.Time) IdentityStatus {
	s := IdentityStatus{Service: service, Placed: h.placed, Error: h.err, ErrorAt: h.errAt, Unsaved: h.unsaved}
	if h.doubt && h.serves(now) { // the clock is right again
		s.Error, s.ErrorAt = "", time.Time{}
	}
	if h.placed {
		s.Renews = h.due(now)
	}
	if h.leaf == nil {
		if h.placed {
			s.Level = trust.LevelExpired
		}
		return s
	}
	s.ID, s.Life = h.domain.ServiceID(service), h.leaf.Chain.Life()
	s.Issuer, s.Unknown = trust.CAName(h.leaf.Chain[1]), !h.root
	s.Level = s.Life.LeafLevel(now)
	return s
}
