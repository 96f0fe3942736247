package catalog

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// MaxSnapshot bounds what Restore reads, in bytes.
const MaxSnapshot = 256 << 20

// ErrDamaged is a snapshot that is not what was written.
var ErrDamaged = errors.New("the snapshot is damaged")

const snapshotMagic = "nixmesh-catalog\x00"

// Snapshot is all that the catalog knows, for the agent's own disk.
func (c *Catalog) Snapshot(now time.Time) []byte {
	b := append([]byte(snapshotMagic), wireVersion)
	b = binary.AppendUvarint(b, uint64(max(now.UnixMilli(), 0)))
	var entries []*entry
	for _, o := range slices.SortedFunc(maps.Values(c.owners), compareNames) {
		for _, key := range slices.SortedFunc(maps.Keys(o.leftovers), compareKeys) {
			entries = append(entries, o.leftovers[key]) // the older first
		}
		entries = append(entries, o.bySeq...)
	}
	b = binary.AppendUvarint(b, uint64(len(entries)))
	for _, e := range entries {
		b = appendBytes(b, e.bytes)
	}
	carried, _ := c.overrides.lacking(now, nil, MaxSnapshot)
	b = binary.AppendUvarint(b, uint64(len(carried)))
	for _, o := range carried {
		b = o.append(b)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// Restore takes a snapshot into a new, configured catalog. Signatures are not
// checked again: the file is the agent's own, and its sum tells damage. What
// the mesh configuration does not name is left out. Rekey has to follow for
// hosts whose key is another one now.
func (c *Catalog) Restore(now time.Time, b []byte) error {
	if len(b) > MaxSnapshot || len(b) < sha256.Size || !bytes.HasPrefix(b, []byte(snapshotMagic)) {
		return fmt.Errorf("restore catalog: %w: no snapshot of %d bytes", ErrDamaged, len(b))
	}
	content, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if got := sha256.Sum256(content); !bytes.Equal(got[:], sum) {
		return fmt.Errorf("restore catalog: %w: its sum does not match", ErrDamaged)
	}
	if err := c.restore(now, content[len(snapshotMagic):]); err != nil {
		return fmt.Errorf("restore catalog: %w", err)
	}
	return nil
}

func (c *Catalog) restore(now time.Time, b []byte) error {
	in := reader{b: b}
	in.version()
	away := max(now.Sub(time.UnixMilli(int64(in.number("time", maxMillis)))), 0)
	var records []*Record
	for range in.count("number of records", MaxSnapshot, minRecordOnWire) {
		rec, err := DecodeRecord(bytes.Clone(in.bytes("record", MaxRecord)))
		if in.err != nil || err != nil {
			return cmp.Or(in.err, err)
		}
		records = append(records, rec)
	}
	var carried []Carried
	for range in.count("number of overrides", MaxOverrides, 2) {
		o, err := decodeCarried(&in)
		if err != nil {
			return err
		}
		carried = append(carried, o)
	}
	if err := in.end(); err != nil {
		return err
	}
	for _, rec := range records {
		c.restoreRecord(now, rec)
	}
	for _, o := range c.owners {
		for _, key := range o.settle() {
			c.changed(o.name, key)
		}
	}
	for _, o := range carried {
		c.overrides.restore(now, Carried{o.Override, o.Age + away})
	}
	return nil
}

func (c *Catalog) restoreRecord(now time.Time, rec *Record) {
	o := c.owners[rec.Owner]
	if o == nil || rec.Epoch < o.epoch {
		return
	}
	if rec.Epoch > o.epoch {
		o.begin(rec.Epoch, now)
	}
	if wins, _ := o.wins(rec); wins && o.fits(rec) {
		o.put(rec, now)
		c.changed(o.name, rec.Key)
	}
}

func (s *overrides) restore(now time.Time, carried Carried) {
	h := &held{Override: carried.Override, age: carried.Age, received: now}
	subject := h.Subject()
	if old := s.held[subject]; !s.names(h.Override) || h.forgettable(now) || old != nil && h.Stamp.Compare(old.Stamp) <= 0 {
		return
	}
	h.inForce = h.holds(now)
	s.held[subject] = h
	s.log.add(Change{What: OverrideChanged, Name: subject})
}
