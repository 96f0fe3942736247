package ca

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/trust"
)

// heldSchema is the form of a kept leaf, and heldPrefix and heldSuffix the name
// of its file around the service's.
const (
	heldSchema = "nixmesh.leaf/1"
	heldPrefix = "svc-"
	heldSuffix = ".v1"
)

// held is what the keeper has of one identity.
type held struct {
	placed bool        // the configuration places it here
	leaf   *trust.Leaf // nil before the first one
	domain trust.Domain
	from   string // the authority that signed the leaf
	root   bool   // the host's roots vouch for the leaf
	doubt  bool   // err says why this host would not have taken the leaf from a peer

	unsaved bool   // the leaf is not on disk
	spare   *offer // a leaf of an authority whose clock seems fast, for when its time comes

	failures int       // rounds over all authorities since the last good one
	retry    time.Time // not before
	err      string    // of the last round, "" after a good one
	errAt    time.Time
}

// heldFile is a held leaf on disk.
type heldFile struct {
	Schema string `json:"schema"`
	Domain string `json:"domain"`
	From   string `json:"from"`
	Leaf   string `json:"leaf"` // key, leaf, intermediate in PEM
}

func heldName(service string) string { return heldPrefix + service + heldSuffix }

// heldService is the service of a file's name, "" for another file.
func heldService(name string) string {
	service, ok := strings.CutPrefix(name, heldPrefix)
	service, is := strings.CutSuffix(service, heldSuffix)
	if !ok || !is {
		return ""
	}
	return service
}

// text is a held leaf as it is kept.
func (h *held) text() ([]byte, error) {
	secret, err := h.leaf.Secret()
	if err != nil {
		return nil, err
	}
	out, err := json.Marshal(heldFile{heldSchema, string(h.domain), h.from, string(secret)})
	if err != nil {
		return nil, fmt.Errorf("encode leaf: %w", err)
	}
	return out, nil
}

// parseHeld reads what text wrote. A leaf that has expired is read, too: it
// says when, and nothing better may be at hand.
func parseHeld(content []byte, service string) (*held, error) {
	var f heldFile
	if err := decode(content, maxAnswer, &f); err != nil {
		return nil, err
	}
	if f.Schema != heldSchema {
		return nil, fmt.Errorf("%w: schema %.80q is not %q", ErrWire, f.Schema, heldSchema)
	}
	domain, err := trust.ParseDomain(f.Domain)
	if err != nil {
		return nil, err
	}
	leaf, err := trust.ParseLeaf([]byte(f.Leaf), domain)
	if err != nil {
		return nil, err
	}
	if leaf.Service != service {
		return nil, fmt.Errorf("%w: the leaf is of %q", ErrWire, leaf.Service)
	}
	return &held{leaf: &leaf, domain: domain, from: f.From}, nil
}

// configure looks at what is held in the light of another fleet.
func (h *held) configure(placed bool, f *Fleet, now time.Time) {
	if placed && !h.placed {
		h.retry = time.Time{} // what was refused as not placed may be asked for
	}
	h.placed = placed
	if h.leaf != nil && h.domain != f.Roots.Domain {
		h.leaf, h.spare, h.unsaved = nil, nil, false
	}
	if h.leaf == nil {
		return
	}
	_, err := f.Roots.Verify(h.leaf.Chain, now)
	vouched := !errors.Is(err, trust.ErrUnknownRoot)
	if vouched != h.root {
		h.failures, h.retry, h.err, h.errAt = 0, time.Time{}, "", time.Time{}
	}
	h.root = vouched
}

// serves says whether the leaf is one that peers take, as far as this host
// knows: its clock is within the leaf's life, and its roots vouch for it.
func (h *held) serves(now time.Time) bool {
	return h.leaf != nil && h.root && h.leaf.Chain.Life().Contains(now)
}

// over says whether the leaf can never serve again.
func (h *held) over(now time.Time) bool {
	return h.leaf != nil && now.After(h.leaf.Chain.Life().Until)
}

// due is when the next round begins: between 40 and 50 % of the leaf's life
// where there is one that serves, at once where there is none, and never before
// the retry that the last round set. A retry that is further away than any
// back-off was set by a clock that has gone back since.
func (h *held) due(now time.Time) time.Time {
	due := now
	if h.serves(now) {
		due = trust.RenewAt(h.leaf.Chain[0])
	}
	if h.retry.After(due) && h.retry.Sub(now) <= maxRetry {
		due = h.retry
	}
	return due
}
