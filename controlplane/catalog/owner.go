package catalog

import (
	"bytes"
	"cmp"
	"slices"
	"time"
)

// owner is what is known of one host's records.
type owner struct {
	name    string
	epoch   uint64
	records map[Key]*entry
	bySeq   []*entry // of records, by seq and key
	sum     Sum      // of records that are not deleted
	size    int      // bytes of records
	deleted int      // tombstones among records

	// progress is how far a delta may begin: nothing up to it is missing, as
	// far as peers can be believed. The sums say when that is certain.
	progress uint64
	complete bool // the sum of the newest record matches

	// leftovers are records of the last epoch or key, shown until the
	// present one is complete, and not relayed.
	leftovers      map[Key]*entry
	leftoversSince time.Time

	reread   bool // from the start, since the sums did not match
	pass     uint32
	failed   int  // passes that did not help
	disputed bool // passes do not help: the owner signed two states

	liveness liveness
	flaps    map[flapKey]*damper
}

// entry is a record with what is known about it here.
type entry struct {
	*Record
	hash     Sum
	received time.Time
	pass     uint32 // of the owner, when it was last seen in one
}

// maxPasses is how often an owner is read again before its state is called
// disputed: enough to meet an honest peer among many, few enough to end.
const maxPasses = 8

func newOwner(name string) *owner {
	return &owner{name: name, records: map[Key]*entry{}, liveness: liveness{standing: Frozen}}
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}

func (o *owner) place(seq uint64, key Key) int {
	i, _ := slices.BinarySearchFunc(o.bySeq, struct{}{}, func(e *entry, _ struct{}) int {
		return cmp.Or(cmp.Compare(e.Seq, seq), compareKeys(e.Key, key))
	})
	return i
}

// after is the place of the first record with a higher seq.
func (o *owner) after(seq uint64) int {
	i, _ := slices.BinarySearchFunc(o.bySeq, struct{}{}, func(e *entry, _ struct{}) int {
		if e.Seq > seq {
			return 1
		}
		return -1
	})
	return i
}

func (o *owner) top() *entry {
	if len(o.bySeq) == 0 {
		return nil
	}
	return o.bySeq[len(o.bySeq)-1]
}

// current is the record of a key that counts: nil when there is none, or it
// was deleted.
func (o *owner) current(key Key) *entry {
	e := o.records[key]
	if e == nil {
		e = o.leftovers[key]
	}
	if e == nil || e.Deleted {
		return nil
	}
	return e
}

// put takes a record of the present epoch over what is there.
func (o *owner) put(rec *Record, now time.Time) {
	if old := o.records[rec.Key]; old != nil {
		o.drop(old)
	}
	e := &entry{Record: rec, hash: rec.hash(), received: now}
	o.records[rec.Key] = e
	o.bySeq = slices.Insert(o.bySeq, o.place(rec.Seq, rec.Key), e)
	o.sum = o.sum.plus(e.hash)
	o.size += len(rec.bytes)
	if rec.Deleted {
		o.deleted++
	}
	delete(o.leftovers, rec.Key)
	o.complete, o.disputed = false, false
}

func (o *owner) drop(e *entry) {
	delete(o.records, e.Key)
	i := o.place(e.Seq, e.Key)
	o.bySeq = slices.Delete(o.bySeq, i, i+1)
	o.sum = o.sum.minus(e.hash)
	o.size -= len(e.bytes)
	if e.Deleted {
		o.deleted--
	}
}

// fits says whether there is room for a record.
func (o *owner) fits(rec *Record) bool {
	n, size := len(o.records)+1, o.size+len(rec.bytes)
	if old := o.records[rec.Key]; old != nil {
		n, size = n-1, size-len(old.bytes)
	}
	return n <= MaxRecords && size <= MaxOwner
}

// begin turns to another epoch. What was complete is shown until the new one
// is; of two that were not, the newer record of each key.
func (o *owner) begin(epoch uint64, now time.Time) {
	if o.leftovers == nil {
		o.leftovers = map[Key]*entry{}
	}
	if o.complete {
		clear(o.leftovers)
	}
	for key, e := range o.records {
		if e.Deleted {
			delete(o.leftovers, key)
		} else {
			o.leftovers[key] = e
		}
	}
	if len(o.leftovers) > 0 {
		o.leftoversSince = now
	}
	o.epoch, o.records, o.bySeq = epoch, map[Key]*entry{}, nil
	o.sum, o.size, o.deleted = Sum{}, 0, 0
	o.progress, o.complete, o.reread, o.failed, o.disputed = 0, false, false, 0, false
}

// settle looks whether everything is here, and begins to read again when it
// should be and is not. It gives the keys that are gone thereby.
func (o *owner) settle() (gone []Key) {
	top := o.top()
	if top == nil || top.Seq < top.Last || o.disputed {
		return nil // in the middle of records that belong together
	}
	if o.sum == top.Sum {
		return o.finish(top)
	}
	o.complete = false
	if o.progress < top.Seq {
		return nil // not all claimed to be here
	}
	if o.reread {
		if gone, ok := o.forgetUnseen(top); ok {
			return append(gone, o.finish(top)...)
		}
		o.failed++
	}
	if o.failed == maxPasses {
		o.reread, o.failed, o.disputed = false, 0, true
		return nil
	}
	o.reread, o.progress = true, 0
	o.pass++
	return nil
}

// finish is reached when everything is here for certain.
func (o *owner) finish(top *entry) (gone []Key) {
	o.progress, o.complete, o.reread, o.failed = top.Seq, true, false, 0
	return o.dropLeftovers()
}

// settled says that nothing more is expected.
func (o *owner) settled() bool { return o.complete || o.disputed }

func (o *owner) dropLeftovers() (gone []Key) {
	for key := range o.leftovers {
		if o.records[key] == nil {
			gone = append(gone, key)
		}
	}
	o.leftovers = nil
	return gone
}

// counts says whether a part moves this agent on. While the owner is read again,
// only one of a peer that knows the newest record does: another may not know of
// what was deleted.
func (o *owner) counts(p *Part) bool {
	top := o.top()
	return !o.reread || top == nil || p.Upto >= top.Seq
}

// forgetUnseen drops the records that a whole pass did not bring, if the rest
// is what the owner signed. A peer that leaves something out makes no record
// vanish.
func (o *owner) forgetUnseen(top *entry) (gone []Key, ok bool) {
	rest := o.sum
	var unseen []*entry
	for _, e := range o.bySeq {
		if e.pass != o.pass {
			unseen = append(unseen, e)
			rest = rest.minus(e.hash)
		}
	}
	if len(unseen) == 0 || rest != top.Sum {
		return nil, false
	}
	for _, e := range unseen {
		o.drop(e)
		if !e.Deleted {
			gone = append(gone, e.Key)
		}
	}
	return gone, true
}

// wins says whether a record replaces what is there for its key. Two records
// with one stamp are an owner's mistake or somebody else's work: then all agree
// on the lower bytes.
func (o *owner) wins(rec *Record) (wins, conflict bool) {
	old := o.records[rec.Key]
	switch {
	case old == nil || rec.Seq > old.Seq:
		return true, false
	case rec.Seq < old.Seq:
		return false, false
	}
	order := bytes.Compare(rec.bytes, old.bytes)
	return order < 0, order != 0
}

// doubled says whether another key has the record's seq, which an honest owner
// never does.
func (o *owner) doubled(rec *Record) bool {
	i := o.after(rec.Seq - 1)
	for ; i < len(o.bySeq) && o.bySeq[i].Seq == rec.Seq; i++ {
		if o.bySeq[i].Key != rec.Key {
			return true
		}
	}
	return false
}
