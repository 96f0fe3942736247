package catalog

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Bounds of what is taken from others.
const (
	MaxRecord       = 4 << 10 // bytes, signature included
	MaxRecords      = 4 << 10 // of one owner
	MaxOwner        = 1 << 20 // bytes of the records of one owner
	SignatureSize   = 64      // ed25519
	maxKind         = 1 << 16
	minRecordOnWire = 1 + SignatureSize
)

// Stamp orders the records of one owner.
type Stamp struct {
	Epoch uint64 // grows with each start of the owner's agent
	Seq   uint64 // grows with each change, from 1
}

func (s Stamp) String() string { return fmt.Sprintf("%d.%d", s.Epoch, s.Seq) }

// Kind says what a record is about. Kinds that a reader does not know are kept
// and relayed.
type Kind uint64

// Kinds of records.
const (
	KindHost    Kind = 1 // the host and its agent; the name is empty
	KindService Kind = 2 // one service on the host, by its name
)

// Key names a record among those of its owner.
type Key struct {
	Kind Kind
	Name string
}

// Record is one signed statement of a host about itself. It does not change.
type Record struct {
	Owner string
	Stamp
	Key
	Last    uint64    // seq of the last record that changed together with this one
	Sum     Sum       // of the owner's state with Last in it
	At      time.Time // the owner's clock, for people
	Deleted bool
	Payload []byte

	host    *Host
	service *Service
	invalid error // why the payload of a known kind cannot be read

	bytes []byte
}

// Bytes are the record as it travels. They must not be changed.
func (r *Record) Bytes() []byte { return r.bytes }

// Host is the payload of a record of KindHost, nil of others.
func (r *Record) Host() *Host { return r.host }

// Service is the payload of a record of KindService, nil of others.
func (r *Record) Service() *Service { return r.service }

// Unreadable says why the payload of a known kind cannot be read. Such a record
// is kept and relayed, since its owner signed it, and acted on by nobody.
func (r *Record) Unreadable() error { return r.invalid }

const flagDeleted = 1

// body is what the owner signs, after recordDomain.
func (r *Record) body() []byte {
	b := make([]byte, 0, 96+len(r.Payload)+SignatureSize)
	b = append(b, wireVersion)
	b = binary.AppendUvarint(b, uint64(r.Kind))
	flags := uint64(0)
	if r.Deleted {
		flags |= flagDeleted
	}
	b = binary.AppendUvarint(b, flags)
	b = appendBytes(b, r.Owner)
	b = binary.AppendUvarint(b, r.Epoch)
	b = binary.AppendUvarint(b, r.Seq)
	b = binary.AppendUvarint(b, r.Last-r.Seq)
	b = append(b, r.Sum[:]...)
	b = binary.AppendUvarint(b, uint64(max(r.At.UnixMilli(), 0)))
	b = appendBytes(b, r.Name)
	return appendBytes(b, r.Payload)
}

// sign makes the record's bytes.
func (r *Record) sign(sign func(message []byte) ([]byte, error)) error {
	body := r.body()
	signature, err := sign(append([]byte(recordDomain), body...))
	if err != nil {
		return fmt.Errorf("sign record: %w", err)
	}
	if len(signature) != SignatureSize {
		return fmt.Errorf("sign record: the signature has %d bytes, want %d", len(signature), SignatureSize)
	}
	if len(body)+SignatureSize > MaxRecord {
		return fmt.Errorf("sign record: %s %q has %d bytes, at most %d are allowed", r.Owner, r.Name, len(body)+SignatureSize, MaxRecord)
	}
	r.bytes = append(body, signature...)
	return nil
}

// DecodeRecord reads a record. It keeps b, and does not check the signature.
func DecodeRecord(b []byte) (*Record, error) {
	if len(b) > MaxRecord || len(b) < minRecordOnWire {
		return nil, malformed("record of %d bytes", len(b))
	}
	in := reader{b: b[:len(b)-SignatureSize]}
	in.version()
	rec := &Record{bytes: b}
	rec.Kind = Kind(in.number("kind", maxKind))
	rec.Deleted = in.number("flags", flagDeleted) == flagDeleted
	rec.Owner = in.name("owner", false)
	rec.Epoch = in.number("epoch", math.MaxUint64)
	rec.Seq = in.number("seq", math.MaxUint64-MaxRecords)
	rec.Last = rec.Seq + in.number("last", MaxRecords)
	copy(rec.Sum[:], in.fixed("sum", len(rec.Sum)))
	rec.At = time.UnixMilli(int64(in.number("time", maxMillis)))
	rec.Name = in.name("name", true)
	rec.Payload = in.bytes("payload", MaxRecord)
	if in.err == nil && (rec.Epoch == 0 || rec.Seq == 0 || rec.Kind == 0) {
		in.fail("epoch, seq and kind begin at 1")
	}
	if in.err == nil && rec.Deleted && len(rec.Payload) > 0 {
		in.fail("a deleted record has a payload")
	}
	if err := in.end(); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	rec.read()
	return rec, nil
}

// maxMillis is the year 5138: no sum of two such times overflows.
const maxMillis = 100_000_000_000_000

// read decodes the payload.
func (r *Record) read() {
	if r.Deleted {
		return
	}
	switch r.Kind {
	case KindHost:
		r.host, r.invalid = decodeHost(r.Payload)
		if r.invalid == nil && r.Name != "" {
			r.host, r.invalid = nil, malformed("the record of a host has the name %q", r.Name)
		}
	case KindService:
		r.service, r.invalid = decodeService(r.Payload)
		if r.invalid == nil && r.Name == "" {
			r.service, r.invalid = nil, malformed("the record of a service has no name")
		}
	}
}

// message is what the signature is over, and the signature.
func (r *Record) message() (message, signature []byte) {
	cut := len(r.bytes) - SignatureSize
	return append([]byte(recordDomain), r.bytes[:cut]...), r.bytes[cut:]
}
