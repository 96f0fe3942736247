package rollback

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// revoked are the keys that this host remembers as removed. A list that cannot
// be read is an error: none of its keys may count as trusted.
func (h *helper) revoked() ([]string, error) {
	b, err := h.Files.ReadFile(revokedFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read removed operators: %w", err)
	}
	return hostfacts.ParseRevoked(b), nil
}

// operatorKeys are the keys that a toplevel trusts, as the list of removed ones
// has them: to sign (records, mesh configurations) and to bring toplevels.
// fs.ErrNotExist for a system without nixmesh.
func (h *helper) operatorKeys(toplevel string) ([]string, error) {
	facts, err := h.facts(toplevel)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, line := range signers(facts) {
		keys = append(keys, hostfacts.SigningKey(line))
	}
	for _, k := range parseNixKeys(h.text(toplevel + hostfacts.DeployersPath)) {
		keys = append(keys, hostfacts.NixKey(k.text))
	}
	return slices.DeleteFunc(keys, func(k string) bool { return k == "" }), nil
}

// settleOperators writes down what a committed release decided about keys. A
// key that the old system listed and the new one does not is removed for good:
// going back to a system that lists it does not bring it back. Only a release
// that goes forward and lists it does, as an operator of now has said so. It
// is no part of the commit, which does not fail by it: done again, it changes
// nothing, and so every look at a committed run does it.
func (h *helper) settleOperators(j *Journal) error {
	if j.Phase != PhaseCommitted {
		return nil
	}
	before, err := h.operatorKeys(j.Old)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // first contact has no facts before
		return err
	}
	after, err := h.operatorKeys(j.New)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // collected, long after its commit
		return err
	}
	was, err := h.revoked()
	if err != nil {
		return err
	}
	now := slices.Clone(was)
	for _, k := range before {
		if !slices.Contains(after, k) && !slices.Contains(now, k) {
			now = append(now, k)
		}
	}
	if h.forward(j.Release, j.ReleaseHash) {
		now = slices.DeleteFunc(now, func(k string) bool { return slices.Contains(after, k) })
	}
	if slices.Equal(now, was) {
		return nil
	}
	h.note("removed operators' keys on this host: %d before, %d now", len(was), len(now))
	return writeDurable(h.Files, revokedFile, hostfacts.FormatRevoked(now))
}

// forward says whether a run brings something new, and not something old back:
// its release is the newest of which this host has a record, and is no rollback.
// A run that brings hosts of a failed release back counts for an older one.
func (h *helper) forward(release int, hash string) bool {
	all, err := h.stored()
	if err != nil || release <= 0 {
		return false
	}
	if slices.ContainsFunc(all, func(s storedRecord) bool { return s.number > release }) {
		return false
	}
	return h.kindOf(storedRecord{release, hash}) == releaseForward
}

// Kinds of releases that matter here: one that goes forward decides about
// operators, others restore old contents.
const (
	releaseForward = "system"
	releaseOfMesh  = "mesh"
)

// deployersAfter refuses a way back after which this host would take nothing
// from anybody: all keys of the old system were removed since.
func (h *helper) deployersAfter(req RootRequest) error {
	listed := parseNixKeys(h.text(req.New + hostfacts.DeployersPath))
	if len(listed) == 0 || h.forward(req.Release, req.ReleaseHash) {
		return nil
	}
	left, err := h.deployers(req.New)
	if err != nil || len(left) > 0 {
		return err
	}
	names := make([]string, len(listed))
	for i, k := range listed {
		names[i] = k.name
	}
	return refuse(CodeGuard, "deploy the old contents with today's operators instead",
		"nobody could deploy here any more: that system knows the keys %s only, which were removed since", joinMax(names, 5))
}
