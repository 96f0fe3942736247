package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Errors of decoding. A decoder returns one of them, wrapped.
var (
	ErrMalformed = errors.New("malformed")
	ErrVersion   = errors.New("version not known")
)

// wireVersion is the first byte of everything that is encoded here.
const wireVersion = 1

// Texts before signed bytes, so that a signature for one purpose cannot serve
// another.
const (
	recordDomain   = "nixmesh-record\x00"
	digestDomain   = "nixmesh-digest\x00"
	overrideDomain = "nixmesh-override\x00" // of nodes; operators' have it as the SSHSIG namespace
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

func appendBytes[T string | []byte](b []byte, v T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// appendField writes one field of a payload.
func appendField[T string | []byte](b []byte, number uint64, v T) []byte {
	return appendBytes(binary.AppendUvarint(b, number), v)
}

func appendNumberField(b []byte, number, v uint64) []byte {
	return appendField(b, number, binary.AppendUvarint(nil, v))
}

// reader takes values off bytes. After the first mistake it gives zero values
// and keeps the mistake.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err, r.b = malformed(format, args...), nil
	}
}

func (r *reader) version() {
	if r.err != nil {
		return
	}
	if len(r.b) == 0 {
		r.fail("no bytes")
	} else if r.b[0] != wireVersion {
		r.err = fmt.Errorf("%w: %d, this agent reads %d", ErrVersion, r.b[0], wireVersion)
		r.b = nil
	} else {
		r.b = r.b[1:]
	}
}

// number reads a varint up to limit, in its shortest form.
func (r *reader) number(what string, limit uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.fail("%s is no number", what)
		return 0
	}
	if v > limit {
		r.fail("%s is %d, more than %d", what, v, limit)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads how many things follow, of at least size bytes each: a claim
// that the bytes cannot hold allocates nothing.
func (r *reader) count(what string, limit, size int) int {
	n := int(r.number(what, uint64(limit)))
	if n*size > len(r.b) {
		r.fail("%s is %d, more than the bytes hold", what, n)
		return 0
	}
	return n
}

// fixed reads n bytes, a part of the input.
func (r *reader) fixed(what string, n int) []byte {
	if r.err != nil {
		return nil
	}
	if len(r.b) < n {
		r.fail("%s is cut off", what)
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// bytes reads a byte string of up to limit bytes, a part of the input.
func (r *reader) bytes(what string, limit int) []byte {
	return r.fixed(what, int(r.number("length of "+what, uint64(limit))))
}

// text reads printable UTF-8.
func (r *reader) text(what string, limit int) string {
	b := r.bytes(what, limit)
	if !isText(b) {
		r.fail("%s is no text", what)
		return ""
	}
	return string(b)
}

// name reads a name of a host, service or version; empty only where that is
// allowed.
func (r *reader) name(what string, mayBeEmpty bool) string {
	b := r.bytes(what, maxName)
	if r.err == nil && !isName(b) && (len(b) > 0 || !mayBeEmpty) {
		r.fail("%s %q is no name", what, b)
		return ""
	}
	return string(b)
}

func (r *reader) end() error {
	if r.err == nil && len(r.b) != 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	return r.err
}

// fields walks the fields of a payload in their order; known ones may repeat
// only where the caller lets them.
func (r *reader) fields(each func(number uint64, value *reader)) {
	last := uint64(0)
	for n := 0; r.err == nil && len(r.b) > 0; n++ {
		number := r.number("field", maxFieldNumber)
		value := reader{b: r.bytes("field", MaxRecord)}
		if r.err != nil {
			return
		}
		if number < last || number == 0 {
			r.fail("field %d follows %d", number, last)
			return
		}
		last = number
		each(number, &value)
		if value.err != nil {
			r.err = fmt.Errorf("field %d: %w", number, value.err)
		}
	}
}

const maxFieldNumber = 1 << 16

const maxName = 31

// isName is the rule of names in a mesh configuration.
func isName(b []byte) bool {
	if len(b) == 0 || len(b) > maxName || b[0] < 'a' || b[0] > 'z' {
		return false
	}
	for _, c := range b {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// isText says whether bytes may be printed on a terminal.
func isText(b []byte) bool {
	for len(b) > 0 {
		c, n := utf8.DecodeRune(b)
		if c == utf8.RuneError && n <= 1 || c < ' ' || c >= 0x7f && c < 0xa0 || c == '\u2028' || c == '\u2029' || c >= '\u202a' && c <= '\u202e' || c >= '\u2066' && c <= '\u2069' {
			return false
		}
		b = b[n:]
	}
	return true
}
