package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/hashicorp/memberlist"
)

// Meta is what a host tells about its agent along with being alive.
type Meta struct {
	ProtocolMin, ProtocolMax uint16 // of the exchange between agents; both at least 1
	DataPort                 uint16 // where the agent takes other agents' connections
	Epoch                    uint64 // boot epoch: how often this host's state began anew
	Version                  string // of nixmesh, for people; at most MaxVersion bytes

	leaving bool // said before a host leaves, so that the others can tell it from a crash
}

// MaxVersion bounds Meta.Version, in bytes.
const MaxVersion = 64

var errMeta = errors.New("meta is malformed")

// The bytes: metaFormat, then fields of tag, length (one byte each) and value.
// A reader skips tags that it does not know, so fields can be added; numbers are
// big endian.
const (
	metaFormat = 1

	tagProtocols = 1 // uint16 min, uint16 max
	tagPort      = 2 // uint16
	tagEpoch     = 3 // uint64
	tagVersion   = 4 // text
	tagLeaving   = 5 // empty
)

func (m Meta) encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	b := []byte{metaFormat, tagProtocols, 4}
	b = binary.BigEndian.AppendUint16(b, m.ProtocolMin)
	b = binary.BigEndian.AppendUint16(b, m.ProtocolMax)
	b = binary.BigEndian.AppendUint16(append(b, tagPort, 2), m.DataPort)
	b = binary.BigEndian.AppendUint64(append(b, tagEpoch, 8), m.Epoch)
	if m.Version != "" {
		b = append(append(b, tagVersion, byte(len(m.Version))), m.Version...)
	}
	if m.leaving {
		b = append(b, tagLeaving, 0)
	}
	return b, nil
}

func (m Meta) check() error {
	switch {
	case m.ProtocolMin == 0 || m.ProtocolMin > m.ProtocolMax:
		return fmt.Errorf("%w: protocols %d to %d", errMeta, m.ProtocolMin, m.ProtocolMax)
	case m.DataPort == 0:
		return fmt.Errorf("%w: no data port", errMeta)
	case len(m.Version) > MaxVersion:
		return fmt.Errorf("%w: version is %d bytes long", errMeta, len(m.Version))
	case !printable(m.Version):
		return fmt.Errorf("%w: version is not plain text", errMeta)
	}
	return nil
}

func decodeMeta(b []byte) (Meta, error) {
	var m Meta
	if len(b) > memberlist.MetaMaxSize {
		return Meta{}, fmt.Errorf("%w: %d bytes", errMeta, len(b))
	}
	if len(b) == 0 || b[0] != metaFormat {
		return Meta{}, fmt.Errorf("%w: unknown format", errMeta)
	}
	var seen [256]bool
	for b = b[1:]; len(b) > 0; {
		if len(b) < 2 || len(b)-2 < int(b[1]) {
			return Meta{}, fmt.Errorf("%w: cut short", errMeta)
		}
		tag, value := b[0], b[2:2+int(b[1])]
		b = b[2+len(value):]
		if seen[tag] {
			return Meta{}, fmt.Errorf("%w: field %d given twice", errMeta, tag)
		}
		seen[tag] = true
		if want, fixed := map[byte]int{tagProtocols: 4, tagPort: 2, tagEpoch: 8, tagLeaving: 0}[tag]; fixed && len(value) != want {
			return Meta{}, fmt.Errorf("%w: field %d has %d bytes", errMeta, tag, len(value))
		}
		switch tag {
		case tagProtocols:
			m.ProtocolMin, m.ProtocolMax = binary.BigEndian.Uint16(value), binary.BigEndian.Uint16(value[2:])
		case tagPort:
			m.DataPort = binary.BigEndian.Uint16(value)
		case tagEpoch:
			m.Epoch = binary.BigEndian.Uint64(value)
		case tagVersion:
			m.Version = string(value)
		case tagLeaving:
			m.leaving = true
		}
	}
	return m, m.check()
}

// printable tells whether s may stand in a log or on a terminal as it is.
func printable(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return false
		}
	}
	return true
}
