package deploy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

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
	// open says by release which hosts have a run of it that is not over.
	open map[int][]string
	// silent are hosts of releases that could not be asked how they came out.
	silent map[string]bool
	// gone are hosts of releases that the spec does not have any more.
	gone map[string]bool
	// left says of hosts that the live record names and the spec does not what
	// becomes of them.
	left []string
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
		views = append(views, h.View(s))
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

// Of is the release that brought this toplevel to host: the newest that was
// planned there and committed, 0 where none is kept. A release that only carries
// what the host runs does not count.
func (h *History) Of(host, toplevel string) int {
	for _, s := range slices.Backward(h.stored) {
		r := s.Release.Hosts[host]
		if r.Planned && r.Toplevel == toplevel && s.Outcomes[host].End == string(rollback.PhaseCommitted) {
			return s.Release.Number
		}
	}
	return 0
}

// last is the newest release that was planned for host, nil where none is kept.
func (h *History) last(host string) *Stored {
	for _, s := range slices.Backward(h.stored) {
		if s.Release.Hosts[host].Planned {
			return s
		}
	}
	return nil
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
		if n := s.Release.Number; n < limit && h.complete(s) && !h.undone(n) {
			return s
		}
	}
	return nil
}

// complete says whether every planned host that the spec still has committed:
// one that left it is not asked, and nothing goes back there.
func (h *History) complete(s *Stored) bool {
	for _, host := range s.Planned() {
		if s.Outcomes[host].End != string(rollback.PhaseCommitted) && !h.gone[host] {
			return false
		}
	}
	return true
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

// View is a release for a program.
func (h *History) View(s *Stored) ReleaseView {
	v := s.View()
	v.State = h.State(s)
	return v
}

// State is how a release ended, in words: "complete", "rolled back", "failed",
// "interrupted" where no host was switched and none failed,
// "2 of 5 hosts, 1 rolled back", "under way on n4".
func (h *History) State(s *Stored) string {
	if hosts := h.open[s.Release.Number]; len(hosts) > 0 {
		return "under way on " + list(hosts)
	}
	planned := s.Planned()
	n := map[string]int{}
	for _, host := range planned {
		n[h.end(s, host)]++
	}
	done, all := n["complete"], len(planned)
	switch {
	case done == all:
		return "complete"
	case n["not started"] == all:
		return "interrupted"
	case n["unknown"] == all:
		return "unknown: " + list(planned) + " not asked"
	case done == 0 && n["rolled back"] == all-n["not started"]:
		return "rolled back"
	case done == 0 && n["failed"] == all-n["not started"]:
		return "failed"
	}
	text := fmt.Sprintf("%d of %d hosts", done, all)
	for _, end := range []string{"needs-operator", "rolled back", "failed", "not started", "unknown"} {
		if n[end] > 0 {
			text += fmt.Sprintf(", %d %s", n[end], end)
		}
	}
	return text
}

// end is how one planned host came out of a release, as State counts it.
func (h *History) end(s *Stored, host string) string {
	o := s.Outcomes[host]
	switch o.End {
	case string(rollback.PhaseCommitted):
		if h.takenBack(s, host, o) {
			return "rolled back"
		}
		return "complete"
	case string(rollback.PhaseRolledBack):
		return "rolled back"
	case string(rollback.PhaseFailed):
		if strings.Contains(o.Reason, "before this host was started") {
			return "not started"
		}
		return "failed"
	case string(rollback.PhaseNeedsOperator):
		return "needs-operator"
	}
	if h.silent[host] {
		return "unknown"
	}
	return "not started"
}

// takenBack says whether on_fail brought a committed host back: that run counts
// for the older release, whose generation there is the newer one then.
func (h *History) takenBack(s *Stored, host string, o Outcome) bool {
	for _, older := range h.stored {
		if older.Release.Number < s.Release.Number && older.Outcomes[host].Generation > o.Generation {
			return true
		}
	}
	return false
}

// witness adds what the hosts' journals and the spec say of the releases, when
// all records are in.
func (h *History) witness(spec []string, seen map[string]*Seen) {
	h.open, h.silent, h.gone = map[int][]string{}, map[string]bool{}, map[string]bool{}
	for _, r := range h.stored {
		for host := range r.Release.Hosts {
			if s := seen[host]; s == nil || s.Status == nil {
				h.silent[host] = true
			}
			h.gone[host] = !slices.Contains(spec, host)
		}
	}
	for host, s := range seen {
		if n := s.openRelease(); n > 0 {
			h.open[n] = append(h.open[n], host)
		}
	}
	live := h.Live()
	if live == nil {
		return
	}
	for host, r := range live.Release.Hosts {
		if slices.Contains(spec, host) {
			continue
		}
		what := "what it ran"
		if n := h.Of(host, r.Toplevel); n > 0 {
			what = fmt.Sprintf("release %d", n)
		} else if last := h.last(host); last != nil {
			// How it came out is for the host alone to say.
			what = fmt.Sprintf("what release %d left there", last.Release.Number)
		}
		h.left = append(h.left, fmt.Sprintf("%s left the spec; it keeps running %s, unmanaged", host, what))
	}
	slices.Sort(h.left)
}
