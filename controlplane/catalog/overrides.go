package catalog

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Errors of overrides that are refused.
var (
	ErrExpired        = errors.New("it has expired")
	ErrUnknownSubject = errors.New("the mesh configuration does not name what it is about")
	ErrWriter         = errors.New("it was signed by somebody else than it says")
	ErrLater          = errors.New("it was written over later")
	ErrOverridesFull  = errors.New("there are too many overrides")
)

// SkewError is two clocks that differ too much.
type SkewError struct {
	Theirs time.Time // what the writer's clock would show now
	Ours   time.Time
}

func (e *SkewError) Error() string {
	const layout = "2006-01-02T15:04:05.000Z"
	return fmt.Sprintf("clocks differ by %s: the writer's shows %s, this host's %s; at most %s is allowed",
		e.Ours.Sub(e.Theirs).Abs().Round(time.Millisecond), e.Theirs.UTC().Format(layout), e.Ours.UTC().Format(layout), MaxSkew)
}

// held is an override with the time since it was signed.
type held struct {
	*Override
	age      time.Duration // when it came here
	received time.Time
	inForce  bool // as the log of changes last said
}

func (h *held) ageAt(now time.Time) time.Duration { return h.age + max(now.Sub(h.received), 0) }

func (h *held) holds(now time.Time) bool {
	return !h.Cleared && (h.Life == 0 || h.ageAt(now) < h.Life)
}

// forgettable says that nothing which the override replaced can still hold. A
// drain or a shift may hold for ever, so what replaced it is kept as long as
// the configuration names its subject.
func (h *held) forgettable(now time.Time) bool {
	return h.Kind == Fault && h.ageAt(now) > MaxOverrideLife+MaxSkew
}

// overrides are the last ones written, by subject.
type overrides struct {
	log             *changeLog
	held            map[string]*held
	hosts, services map[string]bool
}

func newOverrides(log *changeLog) *overrides {
	return &overrides{log: log, held: map[string]*held{}}
}

func (s *overrides) setNames(hosts, services map[string]bool) {
	s.hosts, s.services = hosts, services
	for subject, h := range s.held {
		if !s.names(h.Override) {
			s.remove(subject)
		}
	}
}

func (s *overrides) names(o *Override) bool {
	return (o.Host == "" || s.hosts[o.Host]) && (o.Service == "" || s.services[o.Service])
}

func (s *overrides) remove(subject string) {
	delete(s.held, subject)
	s.log.add(Change{What: OverrideChanged, Name: subject})
}

// SetOverride takes an override from an operator or this host, as it is signed.
func (c *Catalog) SetOverride(now time.Time, o *Override) error {
	taken, err := c.mergeOverride(now, Carried{Override: o})
	if err == nil && !taken {
		err = fmt.Errorf("%w: %s", ErrLater, c.overrides.held[o.Subject()].Stamp)
	}
	return err
}

// mergeOverride takes an override that is later than what is held.
func (c *Catalog) mergeOverride(now time.Time, carried Carried) (taken bool, err error) {
	o, s := carried.Override, c.overrides
	subject := o.Subject()
	if !s.names(o) {
		return false, ErrUnknownSubject
	}
	old := s.held[subject]
	if old != nil {
		order := o.Stamp.Compare(old.Stamp)
		if order < 0 || order == 0 && bytes.Compare(o.bytes, old.bytes) >= 0 {
			return false, nil
		}
	}
	// The writer's clock, moved on by the age that was counted without clocks,
	// shows now what ours does. A replayed override, told as young, fails here.
	theirs := o.Stamp.Time().Add(carried.Age)
	if ours := now.Round(0); theirs.Sub(ours).Abs() > MaxSkew {
		return false, &SkewError{theirs, ours}
	}
	h := &held{Override: o, age: carried.Age, received: now}
	if h.forgettable(now) {
		return false, ErrExpired
	}
	if err := c.verifyOverride(o); err != nil {
		return false, err
	}
	if old == nil && len(s.held) >= MaxOverrides {
		return false, ErrOverridesFull
	}
	h.inForce = h.holds(now)
	s.held[subject] = h
	s.log.add(Change{What: OverrideChanged, Name: subject})
	return true, nil
}

func (c *Catalog) verifyOverride(o *Override) error {
	if o.ByNode {
		if err := c.keys.VerifyNode(o.Host, o.message(), o.signature); err != nil {
			return fmt.Errorf("%w: %w", ErrBadSignature, err)
		}
		return nil
	}
	operator, err := c.keys.VerifyOperator(o.message(), o.signature)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadSignature, err)
	}
	if operator != o.Stamp.Writer {
		return fmt.Errorf("%w: by %s, not by %s", ErrWriter, operator, o.Stamp.Writer)
	}
	return nil
}

// tick ends what has expired.
func (s *overrides) tick(now time.Time) {
	for subject, h := range s.held {
		if holds := h.holds(now); holds != h.inForce {
			h.inForce = holds
			s.log.add(Change{What: OverrideChanged, Name: subject})
		}
		if h.forgettable(now) {
			delete(s.held, subject)
		}
	}
}

func (s *overrides) stamps() map[string]HLC {
	stamps := make(map[string]HLC, len(s.held))
	for subject, h := range s.held {
		stamps[subject] = h.Stamp
	}
	return stamps
}

// lacking are those that a peer has not, and what is left of the budget.
func (s *overrides) lacking(now time.Time, theirs map[string]HLC, budget int) ([]Carried, int) {
	var list []Carried
	for _, subject := range slices.Sorted(maps.Keys(s.held)) {
		h := s.held[subject]
		if h.Stamp.Compare(theirs[subject]) <= 0 || h.forgettable(now) {
			continue
		}
		carried := Carried{h.Override, h.ageAt(now)}
		if carried.size() > budget {
			break
		}
		budget -= carried.size()
		list = append(list, carried)
	}
	return list, budget
}

func (s *overrides) carried(now time.Time, subject string) (Carried, bool) {
	h := s.held[subject]
	if h == nil {
		return Carried{}, false
	}
	return Carried{h.Override, h.ageAt(now)}, true
}

// InForce is an override that holds, and for how long still; zero is until
// something else is written.
type InForce struct {
	*Override
	Left time.Duration
}

// Overrides are those that hold under a mesh configuration, by subject. A shift
// whose service has another split by now does not.
func (c *Catalog) Overrides(now time.Time, splits func(service string) [8]byte) []InForce {
	var list []InForce
	for _, subject := range slices.Sorted(maps.Keys(c.overrides.held)) {
		if in, ok := c.overrides.inForce(now, subject, splits); ok {
			list = append(list, in)
		}
	}
	return list
}

// Override is the one that holds on a subject.
func (c *Catalog) Override(now time.Time, subject string, splits func(service string) [8]byte) (InForce, bool) {
	return c.overrides.inForce(now, subject, splits)
}

func (s *overrides) inForce(now time.Time, subject string, splits func(service string) [8]byte) (InForce, bool) {
	h := s.held[subject]
	if h == nil || !h.holds(now) || h.Base != [8]byte{} && h.Base != splits(h.Service) {
		return InForce{}, false
	}
	in := InForce{Override: h.Override}
	if h.Life > 0 {
		in.Left = h.Life - h.ageAt(now)
	}
	return in, true
}

// LastWrite is the latest time on a subject, of what does not hold any more,
// too: who writes next has to be After it.
func (c *Catalog) LastWrite(subject string) HLC {
	if h := c.overrides.held[subject]; h != nil {
		return h.Stamp
	}
	return HLC{}
}

// SumOf is a hash of overrides that hold: hosts with one sum act on the same.
func SumOf(list []InForce) (sum Sum) {
	for _, in := range list {
		h := sha256.Sum256(in.bytes)
		sum = sum.plus(Sum(h[:16]))
	}
	return sum
}

// drained says whether calls to a service on a host are to end.
func (s *overrides) drained(now time.Time, host, service string) bool {
	for _, subject := range [2]string{drainSubject(host, ""), drainSubject(host, service)} {
		if h := s.held[subject]; h != nil && h.holds(now) {
			return true
		}
	}
	return false
}
