package catalog

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// MaxDigest bounds a digest, in bytes, and MaxHosts the owners in it.
const (
	MaxDigest = 1 << 20
	MaxHosts  = 4096
)

// Digest says what an agent knows: how far it is with each owner, and which
// overrides it holds.
type Digest struct {
	Host      string    // whose digest it is
	At        time.Time // its clock
	Owners    map[string]Known
	Overrides map[string]HLC // by subject
}

// Known is how far an agent is with one owner.
type Known struct {
	Stamp
	Sum uint64 // begin of the state's hash, zero while more is expected
}

func (o *owner) shortSum() uint64 {
	return binary.BigEndian.Uint64(o.sum[:]) | 1 // never zero
}

func (o *owner) known() Known {
	k := Known{Stamp: Stamp{o.epoch, o.progress}}
	if o.settled() {
		k.Sum = o.shortSum()
	}
	return k
}

func compareNames(a, b *owner) int { return strings.Compare(a.name, b.name) }

// Digest is this agent's.
func (c *Catalog) Digest(now time.Time) *Digest {
	d := &Digest{Host: c.self, At: now, Owners: make(map[string]Known, len(c.owners)), Overrides: c.overrides.stamps()}
	for _, o := range c.owners {
		if o.epoch > 0 {
			d.Owners[o.name] = o.known()
		}
	}
	return d
}

// Root is a hash of what the digest says, without its host and time: agents
// with one root have nothing to tell each other.
func (d *Digest) Root() Sum {
	h := sha256.Sum256(d.appendState(nil))
	return Sum(h[:16])
}

func (d *Digest) appendState(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(d.Owners)))
	for _, name := range slices.Sorted(maps.Keys(d.Owners)) {
		k := d.Owners[name]
		b = appendBytes(b, name)
		b = binary.AppendUvarint(b, k.Epoch)
		b = binary.AppendUvarint(b, k.Seq)
		b = binary.BigEndian.AppendUint64(b, k.Sum)
	}
	b = binary.AppendUvarint(b, uint64(len(d.Overrides)))
	for _, subject := range slices.Sorted(maps.Keys(d.Overrides)) {
		b = appendBytes(b, subject)
		b = d.Overrides[subject].append(b)
	}
	return b
}

// Encode writes and signs the digest.
func (d *Digest) Encode(sign func(message []byte) ([]byte, error)) ([]byte, error) {
	b := appendBytes([]byte{wireVersion}, d.Host)
	b = binary.AppendUvarint(b, uint64(max(d.At.UnixMilli(), 0)))
	b = d.appendState(b)
	signature, err := sign(append([]byte(digestDomain), b...))
	if err != nil {
		return nil, fmt.Errorf("sign digest: %w", err)
	}
	if len(signature) != SignatureSize {
		return nil, fmt.Errorf("sign digest: the signature has %d bytes, want %d", len(signature), SignatureSize)
	}
	return append(b, signature...), nil
}

// OpenDigest reads a digest and checks its sender's signature.
func OpenDigest(b []byte, keys Keys) (*Digest, error) {
	d, err := decodeDigest(b)
	if err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	cut := len(b) - SignatureSize
	if err := keys.VerifyNode(d.Host, append([]byte(digestDomain), b[:cut]...), b[cut:]); err != nil {
		return nil, fmt.Errorf("digest of %s: %w", d.Host, err)
	}
	return d, nil
}

func decodeDigest(b []byte) (*Digest, error) {
	if len(b) > MaxDigest || len(b) < SignatureSize {
		return nil, malformed("%d bytes", len(b))
	}
	in := reader{b: b[:len(b)-SignatureSize]}
	in.version()
	d := &Digest{Host: in.name("host", false), At: time.UnixMilli(int64(in.number("time", maxMillis)))}
	n := in.count("number of owners", MaxHosts, 12)
	d.Owners = make(map[string]Known, n)
	last := ""
	for range n {
		name := in.name("owner", false)
		k := Known{Stamp: Stamp{in.number("epoch", math.MaxUint64), in.number("seq", math.MaxUint64)}}
		if sum := in.fixed("sum", 8); sum != nil {
			k.Sum = binary.BigEndian.Uint64(sum)
		}
		if in.err == nil && name <= last {
			in.fail("%q follows %q", name, last)
		}
		last = name
		d.Owners[name] = k
	}
	n = in.count("number of overrides", MaxOverrides, 5)
	d.Overrides = make(map[string]HLC, n)
	last = ""
	for range n {
		subject := in.text("subject", maxSubject)
		stamp := in.hlc()
		if in.err == nil && subject <= last {
			in.fail("%q follows %q", subject, last)
		}
		last = subject
		d.Overrides[subject] = stamp
	}
	return d, in.end()
}
