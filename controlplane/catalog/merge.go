package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// Errors of what Merge refuses, besides ErrMalformed, ErrNoKey and those of
// overrides.
var (
	ErrUnknownHost  = errors.New("the mesh configuration names no such host")
	ErrBadSignature = errors.New("the signature is not the owner's")
	ErrTooMany      = errors.New("the owner has more records than are kept of one")
)

// Refusal is one thing that was not taken, and why. It is worth a log line and
// a count: honest peers send nothing of the kind.
type Refusal struct {
	Owner string
	Stamp
	Err error
}

func (r Refusal) String() string { return fmt.Sprintf("%s %s: %v", r.Owner, r.Stamp, r.Err) }

// Result is what came of a merge.
type Result struct {
	Taken    int // records and overrides that were new
	Known    int // those that were not, or are of an older epoch
	Refused  int
	Refusals []Refusal // the first of them

	// Conflicts are owners that signed two things with one stamp.
	Conflicts []string

	// Rival is the highest epoch in which this very host signed what its agent
	// does not know of, after a loss of data or with a stolen key: the agent has
	// to Restart with a higher one. Zero is none.
	Rival uint64
}

const maxRefusals = 16

func (r *Result) refuse(owner string, stamp Stamp, err error) {
	r.Refused++
	if len(r.Refusals) < maxRefusals {
		r.Refusals = append(r.Refusals, Refusal{owner, stamp, err})
	}
}

func (r *Result) conflict(owner string) {
	if n := len(r.Conflicts); n < maxRefusals && (n == 0 || r.Conflicts[n-1] != owner) {
		r.Conflicts = append(r.Conflicts, owner)
	}
}

// Merge takes what a peer says. In whatever order, however often and through
// whomever deltas come, the same records leave the same records. Only what is
// shown of an old epoch, while the new one is not complete, depends on what was
// known before.
func (c *Catalog) Merge(now time.Time, d *Delta) Result {
	var result Result
	for i := range d.Parts {
		p := &d.Parts[i]
		switch o := c.owners[p.Owner]; {
		case o == nil:
			result.refuse(p.Owner, Stamp{Epoch: p.Epoch}, ErrUnknownHost)
		case p.Owner == c.self:
			c.mergeOwn(o, p, &result)
		default:
			c.mergePart(now, o, p, &result)
		}
	}
	for _, carried := range d.Overrides {
		taken, err := c.mergeOverride(now, carried)
		switch {
		case err != nil:
			result.refuse(carried.Override.Subject(), Stamp{}, err)
		case taken:
			result.Taken++
		default:
			result.Known++
		}
	}
	return result
}

func (c *Catalog) mergePart(now time.Time, o *owner, p *Part, result *Result) {
	whole := p.broken == nil
	if !whole {
		result.refuse(p.Owner, Stamp{Epoch: p.Epoch}, p.broken)
	}
	counts := o.counts(p)
	for _, rec := range p.Records {
		if rec.Epoch < o.epoch {
			result.Known++
			continue
		}
		taken, err := c.mergeRecord(now, o, rec, result)
		if e := o.records[rec.Key]; counts && err == nil && e != nil && e.Seq == rec.Seq {
			e.pass = o.pass
		}
		if err != nil {
			result.refuse(rec.Owner, rec.Stamp, err)
			whole = false
			if errors.Is(err, ErrBadSignature) || errors.Is(err, ErrNoKey) {
				break // nobody makes an agent check more of them
			}
			continue
		}
		if taken {
			result.Taken++
		} else {
			result.Known++
		}
	}
	if p.Epoch != o.epoch || len(p.Records) == 0 {
		return
	}
	if whole && counts && p.From <= o.progress {
		o.progress = max(o.progress, min(p.last(), o.top().Seq))
	}
	for _, key := range o.settle() {
		c.changed(o.name, key)
	}
}

// mergeRecord takes a record of the present or a later epoch, if it wins.
func (c *Catalog) mergeRecord(now time.Time, o *owner, rec *Record, result *Result) (taken bool, err error) {
	if rec.Epoch == o.epoch {
		wins, conflict := o.wins(rec)
		if !wins && !conflict {
			return false, nil
		}
		if err := c.verify(rec); err != nil {
			return false, err
		}
		if conflict || o.doubled(rec) {
			result.conflict(o.name)
		}
		if !wins {
			return false, nil
		}
		if !o.fits(rec) {
			return false, ErrTooMany
		}
	} else {
		if err := c.verify(rec); err != nil {
			return false, err
		}
		o.begin(rec.Epoch, now)
	}
	c.put(now, o, rec)
	return true, nil
}

// put takes a record that wins.
func (c *Catalog) put(now time.Time, o *owner, rec *Record) {
	if rec.Kind == KindService {
		o.flapped(now, o.current(rec.Key), rec)
	}
	o.put(rec, now)
	c.changed(o.name, rec.Key)
}

func (c *Catalog) verify(rec *Record) error {
	message, signature := rec.message()
	err := c.keys.VerifyNode(rec.Owner, message, signature)
	if err == nil || errors.Is(err, ErrNoKey) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrBadSignature, err)
}

// mergeOwn looks at what others say that this host said. It writes nothing: the
// agent is the only writer of its records.
func (c *Catalog) mergeOwn(o *owner, p *Part, result *Result) {
	for _, rec := range p.Records {
		if rec.Epoch < o.epoch || rec.Epoch == o.epoch && o.wrote(rec) {
			result.Known++
			continue
		}
		if err := c.verify(rec); err != nil {
			result.refuse(rec.Owner, rec.Stamp, err)
			return
		}
		result.Rival = max(result.Rival, rec.Epoch)
	}
}

// wrote says whether a record of the present epoch is, or may have been, in the
// owner's state.
func (o *owner) wrote(rec *Record) bool {
	old := o.records[rec.Key]
	if old == nil || rec.Seq > old.Seq {
		return false
	}
	return rec.Seq < old.Seq || bytes.Equal(rec.bytes, old.bytes)
}
