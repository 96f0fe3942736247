package catalog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
)

// MaxDelta bounds a delta, in bytes.
const MaxDelta = 4 << 20

// Delta is what one agent tells another: records and overrides.
type Delta struct {
	Parts     []Part
	Overrides []Carried
}

// Part is records of one owner and epoch, by rising seq. The sender claims that
// no record that still counts is missing between From and the last, as far as it
// knows the owner, which is up to Upto.
type Part struct {
	Owner   string
	Epoch   uint64
	From    uint64
	Upto    uint64
	Records []*Record

	broken error // why one of its records could not be read
}

// Empty says whether there is nothing in it.
func (d *Delta) Empty() bool { return len(d.Parts) == 0 && len(d.Overrides) == 0 }

const (
	partOverhead   = 1 + maxName + 4*binary.MaxVarintLen64
	recordOverhead = binary.MaxVarintLen16
	maxParts       = 1 << 15
)

// gap is what a peer lacks of one owner.
type gap struct {
	owner   *owner
	from    uint64
	entries []*entry
	since   time.Time // when the first of them came here
	sent    int
}

// Delta is what the sender of a digest lacks, in at most about budget bytes:
// the overrides, then what has been missing longest. No owner takes more than a
// quarter of the budget while others wait.
func (c *Catalog) Delta(now time.Time, theirs *Digest, budget int) *Delta {
	budget = min(budget, MaxDelta)
	d := &Delta{}
	d.Overrides, budget = c.overrides.lacking(now, theirs.Overrides, budget)
	gaps := c.gaps(theirs)
	slices.SortFunc(gaps, func(a, b *gap) int {
		if !a.since.Equal(b.since) {
			return a.since.Compare(b.since)
		}
		return compareNames(a.owner, b.owner)
	})
	share := budget / 4
	for range 2 { // fair first, then whatever still fits
		for _, g := range gaps {
			used := g.take(min(share, budget))
			budget -= used
		}
		share = budget
	}
	for _, g := range gaps {
		if g.sent > 0 {
			d.Parts = append(d.Parts, g.part())
		}
	}
	return d
}

// take grows what is sent of the gap by what fits.
func (g *gap) take(room int) (used int) {
	for g.sent < len(g.entries) {
		size := len(g.entries[g.sent].bytes) + recordOverhead
		if g.sent == 0 {
			size += partOverhead
		}
		if used+size > room {
			break
		}
		used += size
		g.sent++
	}
	return used
}

func (g *gap) part() Part {
	p := Part{Owner: g.owner.name, Epoch: g.owner.epoch, From: g.from, Upto: g.owner.progress, Records: make([]*Record, g.sent)}
	for i, e := range g.entries[:g.sent] {
		p.Records[i] = e.Record
	}
	return p
}

func (c *Catalog) gaps(theirs *Digest) []*gap {
	var gaps []*gap
	for _, o := range c.owners {
		from, lacks := o.lackedFrom(theirs.Owners[o.name])
		if !lacks {
			continue
		}
		entries := o.bySeq[o.after(from):o.after(o.progress)]
		if len(entries) > 0 {
			gaps = append(gaps, &gap{owner: o, from: from, entries: entries, since: entries[0].received})
		}
	}
	return gaps
}

// lackedFrom is where the knowledge of a peer ends.
func (o *owner) lackedFrom(theirs Known) (seq uint64, lacks bool) {
	switch {
	case theirs.Epoch > o.epoch:
		return 0, false
	case theirs.Epoch < o.epoch:
		return 0, true
	case theirs.Seq < o.progress:
		return theirs.Seq, true
	case theirs.Seq == o.progress && theirs.Sum != 0 && o.settled() && theirs.Sum != o.shortSum():
		return 0, true // the same stamp of another state
	}
	return 0, false
}

// Encode writes the delta as it travels.
func (d *Delta) Encode() []byte {
	b := []byte{wireVersion}
	b = binary.AppendUvarint(b, uint64(len(d.Parts)))
	for _, p := range d.Parts {
		b = appendBytes(b, p.Owner)
		b = binary.AppendUvarint(b, p.Epoch)
		b = binary.AppendUvarint(b, p.From)
		b = binary.AppendUvarint(b, p.Upto)
		b = binary.AppendUvarint(b, uint64(len(p.Records)))
		for _, rec := range p.Records {
			b = appendBytes(b, rec.bytes)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(d.Overrides)))
	for _, o := range d.Overrides {
		b = o.append(b)
	}
	return b
}

// DecodeDelta reads a delta. A record that cannot be read spoils no other: Merge
// refuses it by name. The delta keeps nothing of b, so that a catalog which takes
// one small record of a large delta does not hold on to all of it.
func DecodeDelta(b []byte) (*Delta, error) {
	if len(b) > MaxDelta+MaxDelta/4 {
		return nil, fmt.Errorf("delta: %w", malformed("%d bytes", len(b)))
	}
	in := reader{b: b}
	in.version()
	d := &Delta{}
	for range in.count("number of owners", maxParts, 6) {
		p := Part{Owner: in.name("owner", false)}
		p.Epoch = in.number("epoch", math.MaxUint64)
		p.From = in.number("from", math.MaxUint64)
		p.Upto = in.number("upto", math.MaxUint64)
		for range in.count("number of records", 2*MaxRecords, minRecordOnWire) {
			p.add(bytes.Clone(in.bytes("record", MaxRecord)))
		}
		d.Parts = append(d.Parts, p)
		if in.err != nil {
			break
		}
	}
	for range in.count("number of overrides", MaxOverrides, 2) {
		o, err := decodeCarried(&in)
		if err != nil {
			return nil, fmt.Errorf("delta: %w", err)
		}
		d.Overrides = append(d.Overrides, o)
	}
	if err := in.end(); err != nil {
		return nil, fmt.Errorf("delta: %w", err)
	}
	return d, nil
}

func (p *Part) add(b []byte) {
	rec, err := DecodeRecord(b)
	if err == nil && (rec.Owner != p.Owner || rec.Epoch != p.Epoch) {
		err = malformed("a record of %s in epoch %d among those of %s in %d", rec.Owner, rec.Epoch, p.Owner, p.Epoch)
	}
	if err == nil && len(p.Records) > 0 && rec.Seq < p.Records[len(p.Records)-1].Seq {
		err = malformed("records in falling order")
	}
	if err != nil {
		p.broken = err
		return
	}
	rec.Owner = p.Owner // one string for all
	p.Records = append(p.Records, rec)
}
