package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Hint is a few bytes that a host wants all others to have, soon and perhaps.
// Its From is what the sender claims: who relies on it signs the data.
type Hint struct {
	From string // the host that broadcast it
	Key  string // what it is about: a newer hint of the same From and Key replaces it while it travels
	Data []byte
}

// Bounds of a hint, in bytes.
const (
	MaxHint    = 300 // of Data
	MaxHintKey = 64
)

var errHint = errors.New("hint is malformed")

// The bytes: hintFormat, a number that tells hints of one sender apart (8
// bytes), From and Key with their length in a byte before them, Data.
const (
	hintFormat = 1
	maxFrame   = 1 + 8 + 1 + maxName + 1 + MaxHintKey + MaxHint
)

// frame is a hint as it travels.
type frame struct {
	id   uint64
	hint Hint
}

func (f frame) encode() ([]byte, error) {
	if err := f.hint.check(); err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint64([]byte{hintFormat}, f.id)
	b = append(append(b, byte(len(f.hint.From))), f.hint.From...)
	b = append(append(b, byte(len(f.hint.Key))), f.hint.Key...)
	return append(b, f.hint.Data...), nil
}

func (h Hint) check() error {
	switch {
	case h.From == "" || len(h.From) > maxName:
		return fmt.Errorf("%w: sender has %d bytes", errHint, len(h.From))
	case len(h.Key) > MaxHintKey:
		return fmt.Errorf("%w: key has %d bytes", errHint, len(h.Key))
	case len(h.Data) > MaxHint:
		return fmt.Errorf("%w: %d bytes, at most %d", errHint, len(h.Data), MaxHint)
	}
	return nil
}

// decodeFrame copies what it takes from b.
func decodeFrame(b []byte) (frame, error) {
	if len(b) > maxFrame {
		return frame{}, fmt.Errorf("%w: %d bytes", errHint, len(b))
	}
	if len(b) < 9 || b[0] != hintFormat {
		return frame{}, fmt.Errorf("%w: unknown format", errHint)
	}
	f := frame{id: binary.BigEndian.Uint64(b[1:9])}
	from, rest, ok := cutText(b[9:])
	if !ok {
		return frame{}, fmt.Errorf("%w: cut short", errHint)
	}
	key, rest, ok := cutText(rest)
	if !ok {
		return frame{}, fmt.Errorf("%w: cut short", errHint)
	}
	f.hint = Hint{From: from, Key: key, Data: append([]byte{}, rest...)}
	return f, f.hint.check()
}

func cutText(b []byte) (text string, rest []byte, ok bool) {
	if len(b) == 0 || len(b)-1 < int(b[0]) {
		return "", nil, false
	}
	n := 1 + int(b[0])
	return string(b[1:n]), b[n:], true
}
