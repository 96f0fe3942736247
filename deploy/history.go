package deploy

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/nixmesh/nixmesh/rollback"
)

// History is every release that was seen, oldest first: on hosts, and in the
// local copy.
type History struct {
	stored []*Stored
	// Ignored says which records were left out, and why.
	Ignored []string
	// highest number seen, also of records that were left out: a number is
	// never given twice.
	highest int
}

// Verifier checks a record's SSHSIG and gives the name of the operator.
type Verifier func(body []byte, sig string) (operator string, err error)

// add takes a record that host gave ("" = the local copy). A record that is not
// signed by a known operator is left out, and so is one of another fleet.
func (h *History) add(host, fleet string, raw rollback.Record, verify Verifier) {
	s, err := readRecord(raw)
	if err == nil && s.Release.Fleet == fleet {
		h.highest = max(h.highest, s.Release.Number)
	}
	if err == nil && s.Release.Fleet != fleet {
		err = fmt.Errorf("release %d is of fleet %q", s.Release.Number, s.Release.Fleet)
	}
	if err == nil && verify != nil {
		if _, e := verify(s.Raw.Body, s.Raw.Sig); e != nil {
			err = fmt.Errorf("release %d: %w", s.Release.Number, e)
		}
	}
	if err != nil {
		where := host
		if where == "" {
			where = ".nixmesh/releases"
		}
		if text := fmt.Sprintf("%s: %v", where, err); !slices.Contains(h.Ignored, text) {
			h.Ignored = append(h.Ignored, text)
		}
		return
	}
	i, found := slices.BinarySearchFunc(h.stored, s, compareStored)
	if found {
		s = h.stored[i]
	} else {
		h.stored = slices.Insert(h.stored, i, s)
	}
	if host != "" && len(raw.Outcome) > 0 {
		var o Outcome
		if json.Unmarshal(raw.Outcome, &o) == nil && o.End != "" {
			s.Outcomes[host] = o
		}
	}
}

func compareStored(a, b *Stored) int {
	if a.Release.Number != b.Release.Number {
		return a.Release.Number - b.Release.Number
	}
	switch {
	case a.Raw.Hash < b.Raw.Hash:
		return -1
	case a.Raw.Hash > b.Raw.Hash:
		return 1
	}
	return 0
}

// All is every release, oldest first.
func (h *History) All() []*Stored { return h.stored }

// Views are all releases for a program, oldest first.
func (h *History) Views() []ReleaseView {
	views := make([]ReleaseView, 0, len(h.stored))
	for _, s := range h.stored {
		views = append(views, s.View())
	}
	return views
}

// Live is the newest release, nil before the first.
func (h *History) Live() *Stored {
	if len(h.stored) == 0 {
		return nil
	}
	return h.stored[len(h.stored)-1]
}

// Find gives a release by number, the newest hash of a fork.
func (h *History) Find(number int) *Stored {
	for _, s := range slices.Backward(h.stored) {
		if s.Release.Number == number {
			return s
		}
	}
	return nil
}

// Of is the newest release in which host has this toplevel, 0 where there is
// none.
func (h *History) Of(host, toplevel string) int {
	for _, s := range slices.Backward(h.stored) {
		if s.Release.Hosts[host].Toplevel == toplevel {
			return s.Release.Number
		}
	}
	return 0
}

// Fork lists numbers that two different records have.
func (h *History) Fork() []int {
	var forks []int
	for i := 1; i < len(h.stored); i++ {
		n := h.stored[i].Release.Number
		if n == h.stored[i-1].Release.Number && !slices.Contains(forks, n) {
			forks = append(forks, n)
		}
	}
	return forks
}

// Before gives the release that `rollback` restores: the newest complete one
// before the live one, where releases that were rolled back from do not count,
// and a live rollback stands where the release stands that it restored.
func (h *History) Before() *Stored {
	live := h.Live()
	if live == nil {
		return nil
	}
	limit := live.Release.Number
	if live.Release.Kind == ReleaseRollback {
		limit = live.Release.Restores
	}
	for _, s := range slices.Backward(h.stored) {
		if n := s.Release.Number; n < limit && s.Complete() && !h.undone(n) {
			return s
		}
	}
	return nil
}

// undone says whether a later rollback went back beyond release n.
func (h *History) undone(n int) bool {
	for _, s := range h.stored {
		if s.Release.Kind == ReleaseRollback && s.Release.Restores < n && n < s.Release.Number {
			return true
		}
	}
	return false
}
