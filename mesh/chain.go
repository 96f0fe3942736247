package mesh

import (
	"cmp"
	"fmt"
	"strings"
)

// Link is a document's place in the chain of versions, and who put it there.
// The zero value stands for no document. Agents announce it.
type Link struct {
	Version  int64  `json:"version"`
	Hash     string `json:"hash"`
	Parent   string `json:"parent,omitempty"` // hash of the version before
	Operator string `json:"operator"`
}

// Link is the document's place.
func (d *Document) Link() Link { return d.linkOf(d.Signed()) }

func (d *Document) linkOf(signed []byte) Link {
	return Link{Version: d.Version, Hash: HashOf(signed), Parent: d.Parent, Operator: d.Operator}
}

// Compare orders documents: of two, every agent takes the greater one.
//
// A later version is greater: no agent goes back, so that a document which
// somebody signed once and nobody took cannot undo what came after it. Of one
// version, the child of the lower parent is greater, and of one parent the lower
// hash: that decides between two operators who applied at once, and keeps to the
// winner of the fork where both of them went on.
//
// The order is total and looks at nothing but the two. So agents that have seen
// the same documents hold the same one, whatever came first, twice, or never;
// and one that was away for years decides as one that saw every version.
func (l Link) Compare(o Link) int {
	return cmp.Or(cmp.Compare(l.Version, o.Version), strings.Compare(o.Parent, l.Parent), strings.Compare(o.Hash, l.Hash))
}

// Wants says whether a document of which only version and hash were announced is
// worth asking for. Of two of one version, only the document tells.
func (l Link) Wants(version int64, hash string) bool {
	return version > l.Version || version == l.Version && hash != l.Hash
}

// Step is what a document is to an agent that has another one.
type Step string

// Steps. The first four are taken.
const (
	StepFirst Step = "first" // there was none
	StepNext  Step = "next"  // the child of what the agent has
	StepAhead Step = "ahead" // the agent is behind by more than one version
	StepFork  Step = "fork"  // what the agent has lost: another operator's was applied at once
	StepSame  Step = "same"  // the agent has it
	StepLost  Step = "lost"  // it lost against what the agent has
	StepOld   Step = "old"   // it is of an earlier version
)

// Takes says whether the agent takes the document.
func (s Step) Takes() bool {
	return s == StepFirst || s == StepNext || s == StepAhead || s == StepFork
}

// Step says what a candidate is to an agent that has l.
func (l Link) Step(candidate Link) Step {
	order := candidate.Compare(l)
	switch {
	case l == Link{}:
		return StepFirst
	case order == 0:
		return StepSame
	case candidate.Version < l.Version:
		return StepOld
	case order < 0:
		return StepLost
	case candidate.Version == l.Version:
		return StepFork
	case candidate.Version > l.Version+1:
		return StepAhead
	case candidate.Parent == l.Hash:
		return StepNext
	default:
		return StepFork
	}
}

// Accept is an agent's decision on a document that a peer or an operator gives
// it. The error says why nobody should take it: it is another fleet's, is not
// valid, or is signed by nobody whom this host knows. What the agent has is not
// judged again, so a document stays in force when its signer is removed, until
// the next one comes.
func (s *Signers) Accept(fleet string, have Link, candidate *Document) (Step, error) {
	signed := candidate.Signed()
	link := candidate.linkOf(signed)
	refuse := func(err error) (Step, error) {
		return "", fmt.Errorf("refuse mesh document %d by %s (%.12s): %w", link.Version, link.Operator, link.Hash, err)
	}
	if candidate.Fleet != fleet {
		return refuse(fmt.Errorf("it is of the fleet %q, this is %q", candidate.Fleet, fleet))
	}
	if err := candidate.Validate(); err != nil {
		return refuse(err)
	}
	if err := s.check(candidate, signed); err != nil {
		return refuse(err)
	}
	return have.Step(link), nil
}

// ForkError tells an operator that somebody else was faster.
type ForkError struct {
	Live      Link
	Candidate Link
}

func (e *ForkError) Error() string {
	return fmt.Sprintf("version %d by %s (%.12s) is live, and version %d by %s does not continue it",
		e.Live.Version, e.Live.Operator, e.Live.Hash, e.Candidate.Version, e.Candidate.Operator)
}

// Publish is stricter than Accept: what an operator brings has to continue what
// the agent has, be it already, or be more than one version ahead of an agent
// that was away. Otherwise it would undo a change that its signer did not see,
// which is a *ForkError. Between agents this cannot hold, since those that took
// either of two documents have to come together again.
func (l Link) Publish(candidate Link) error {
	switch l.Step(candidate) {
	case StepFirst, StepNext, StepAhead, StepSame:
		return nil
	default:
		return &ForkError{l, candidate}
	}
}
