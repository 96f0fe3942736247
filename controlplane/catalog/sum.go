package catalog

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// Sum is the sum of the hashes of a set: what is in it can be added and taken
// off again, in any order.
type Sum [16]byte

func (s Sum) plus(o Sum) Sum {
	low, carry := bits.Add64(binary.BigEndian.Uint64(s[8:]), binary.BigEndian.Uint64(o[8:]), 0)
	high, _ := bits.Add64(binary.BigEndian.Uint64(s[:]), binary.BigEndian.Uint64(o[:]), carry)
	return sumOf(high, low)
}

func (s Sum) minus(o Sum) Sum {
	low, borrow := bits.Sub64(binary.BigEndian.Uint64(s[8:]), binary.BigEndian.Uint64(o[8:]), 0)
	high, _ := bits.Sub64(binary.BigEndian.Uint64(s[:]), binary.BigEndian.Uint64(o[:]), borrow)
	return sumOf(high, low)
}

func sumOf(high, low uint64) (s Sum) {
	binary.BigEndian.PutUint64(s[:], high)
	binary.BigEndian.PutUint64(s[8:], low)
	return s
}

// hash is what a record adds to its owner's sum. A tombstone adds nothing, so
// that it can be forgotten.
func (r *Record) hash() Sum {
	if r.Deleted {
		return Sum{}
	}
	b := make([]byte, 0, 64+len(r.Payload))
	b = binary.AppendUvarint(b, uint64(r.Kind))
	b = appendBytes(b, r.Name)
	b = binary.AppendUvarint(b, r.Seq)
	b = append(b, r.Payload...)
	h := sha256.Sum256(b)
	return Sum(h[:16])
}
