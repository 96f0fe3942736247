package catalog

import (
	"cmp"
	"slices"
	"time"
)

// Push makes a delta of changed records and overrides, for peers that had
// everything before them. What does not fit a delta is left to the digests.
func (c *Catalog) Push(now time.Time, changes []Change) *Delta {
	d := &Delta{}
	var entries []*entry
	room := MaxDelta
	for _, change := range changes {
		if change.What == OverrideChanged {
			if carried, ok := c.overrides.carried(now, change.Name); ok && room > carried.size() {
				d.Overrides = append(d.Overrides, carried)
				room -= carried.size()
			}
			continue
		}
		if e := c.changedEntry(change); e != nil && room > len(e.bytes)+partOverhead {
			entries = append(entries, e)
			room -= len(e.bytes) + partOverhead
		}
	}
	slices.SortFunc(entries, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Seq, b.Seq), compareKeys(a.Key, b.Key))
	})
	for _, e := range entries {
		o := c.owners[e.Owner]
		from := o.before(e)
		if n := len(d.Parts) - 1; n >= 0 && d.Parts[n].Owner == e.Owner && d.Parts[n].last() >= from {
			d.Parts[n].Records = append(d.Parts[n].Records, e.Record)
			continue
		}
		d.Parts = append(d.Parts, Part{Owner: e.Owner, Epoch: e.Epoch, From: from, Upto: max(o.progress, e.Seq), Records: []*Record{e.Record}})
	}
	return d
}

func (p *Part) last() uint64 { return p.Records[len(p.Records)-1].Seq }

// changedEntry finds the record that changed, tombstones too.
func (c *Catalog) changedEntry(change Change) *entry {
	o := c.owners[change.Host]
	if o == nil {
		return nil
	}
	switch change.What {
	case HostChanged:
		return o.records[Key{Kind: KindHost}]
	case ServiceChanged:
		return o.records[Key{KindService, change.Name}]
	case OtherChanged:
		return o.records[Key{change.Kind, change.Name}]
	}
	return nil
}

// before is the seq after which nothing that still counts comes until the
// record.
func (o *owner) before(e *entry) uint64 {
	if e.Seq > o.progress {
		return e.Seq - 1 // what is between is not known here
	}
	i := o.place(e.Seq, e.Key)
	if i == 0 {
		return 0
	}
	return o.bySeq[i-1].Seq
}
