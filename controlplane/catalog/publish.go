package catalog

import (
	"bytes"
	"fmt"
	"time"
)

// Update is one change of what this host says.
type Update struct {
	Key
	Deleted bool
	Payload []byte
}

// HostUpdate says what the host is.
func HostUpdate(h Host) Update {
	return Update{Key: Key{Kind: KindHost}, Payload: h.encode()}
}

// ServiceUpdate says how a service on this host is.
func ServiceUpdate(name string, s Service) Update {
	return Update{Key: Key{KindService, name}, Payload: s.encode()}
}

// Gone says that this host no longer runs a service.
func Gone(service string) Update {
	return Update{Key: Key{KindService, service}, Deleted: true}
}

// Sign signs with this host's node key.
type Sign func(message []byte) ([]byte, error)

// Start begins this host's epoch, which has to be higher than any that it used
// before: persisted, plus one. What it says goes into the first batch.
func (c *Catalog) Start(now time.Time, epoch uint64, updates []Update, sign Sign) error {
	o := c.owners[c.self]
	if epoch <= o.epoch {
		return fmt.Errorf("start epoch %d: %d is in use already", epoch, o.epoch)
	}
	records, err := c.batch(now, newOwner(c.self), Stamp{Epoch: epoch}, updates, sign)
	if err != nil {
		return fmt.Errorf("start epoch %d: %w", epoch, err)
	}
	o.begin(epoch, now)
	c.take(now, o, records)
	return nil
}

// Restart says all that this host says once more, in a higher epoch: after a
// Rival, or with another node key.
func (c *Catalog) Restart(now time.Time, epoch uint64, sign Sign) error {
	o := c.owners[c.self]
	var updates []Update
	for _, e := range o.bySeq {
		if !e.Deleted {
			updates = append(updates, Update{Key: e.Key, Payload: e.Payload})
		}
	}
	return c.Start(now, epoch, updates, sign)
}

// Publish changes what this host says, all of it or, on an error, nothing.
// Readers show the changes once they have all of them. What stays as it is
// makes no record.
func (c *Catalog) Publish(now time.Time, updates []Update, sign Sign) error {
	o := c.owners[c.self]
	if o.epoch == 0 {
		return fmt.Errorf("publish: no epoch was started")
	}
	last := Stamp{Epoch: o.epoch}
	if top := o.top(); top != nil {
		last.Seq = top.Seq
	}
	records, err := c.batch(now, o, last, updates, sign)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	c.take(now, o, records)
	return nil
}

func (c *Catalog) take(now time.Time, o *owner, records []*Record) {
	for _, rec := range records {
		c.put(now, o, rec)
	}
	for _, key := range o.settle() {
		c.changed(o.name, key)
	}
}

// batch makes the records of a change of what an owner has: each says what the
// sum is after all.
func (c *Catalog) batch(now time.Time, o *owner, last Stamp, updates []Update, sign Sign) ([]*Record, error) {
	named := map[Key]bool{}
	var records []*Record
	seq, sum, n := last.Seq, o.sum, len(o.records)
	for _, u := range updates {
		if err := u.check(); err != nil {
			return nil, err
		}
		if named[u.Key] {
			return nil, fmt.Errorf("%q is changed twice at once", u.Name)
		}
		named[u.Key] = true
		old := o.records[u.Key]
		if old == nil && u.Deleted || old != nil && old.Deleted == u.Deleted && bytes.Equal(old.Payload, u.Payload) {
			continue
		}
		seq++
		rec := &Record{Owner: c.self, Stamp: Stamp{last.Epoch, seq}, Key: u.Key, At: now, Deleted: u.Deleted, Payload: u.Payload}
		if old != nil {
			sum = sum.minus(old.hash)
		} else {
			n++
		}
		sum = sum.plus(rec.hash())
		records = append(records, rec)
	}
	size := o.size
	for i, rec := range records {
		rec.Last, rec.Sum = seq, sum
		read, err := rec.seal(sign)
		if err != nil {
			return nil, err
		}
		if old := o.records[rec.Key]; old != nil {
			size -= len(old.bytes)
		}
		size += len(read.bytes)
		records[i] = read
	}
	if n > MaxRecords || size > MaxOwner {
		return nil, ErrTooMany
	}
	return records, nil
}

// seal signs a record and reads it again: what no reader would take is not
// published.
func (r *Record) seal(sign Sign) (*Record, error) {
	if err := r.sign(sign); err != nil {
		return nil, err
	}
	read, err := DecodeRecord(r.bytes)
	if err == nil {
		err = read.invalid
	}
	return read, err
}

func (u *Update) check() error {
	if u.Kind == 0 || u.Kind > maxKind {
		return fmt.Errorf("%d is no kind of record", u.Kind)
	}
	if u.Name != "" && !isName([]byte(u.Name)) {
		return fmt.Errorf("%q is no name", u.Name)
	}
	if u.Deleted && len(u.Payload) > 0 {
		return fmt.Errorf("%q is deleted and has a payload", u.Name)
	}
	return nil
}
