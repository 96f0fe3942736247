package sync

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

// Bounds of what agents send each other.
const (
	maxHello = 256       // bytes
	maxPush  = 256 << 10 // bytes of one delta that is pushed; a larger one is left to the digests
	maxTrade = 3 << 20   // bytes of a digest and a delta
)

var errMalformed = errors.New("malformed")

// hello is what both ends of a connection say first. Bytes after it are for
// agents to come.
type hello struct {
	protocols catalog.Protocols
	instance  uint64 // another number each time an agent starts
}

func (h hello) encode() []byte {
	b := binary.AppendUvarint(nil, h.protocols.Min)
	b = binary.AppendUvarint(b, h.protocols.Max)
	return binary.BigEndian.AppendUint64(b, h.instance)
}

func readHello(b []byte) (hello, error) {
	lowest, n := binary.Uvarint(b)
	if n <= 0 {
		return hello{}, fmt.Errorf("hello: %w", errMalformed)
	}
	b = b[n:]
	highest, n := binary.Uvarint(b)
	if n <= 0 || lowest < 1 || highest < lowest || len(b[n:]) < 8 {
		return hello{}, fmt.Errorf("hello: %w", errMalformed)
	}
	return hello{catalog.Protocols{Min: lowest, Max: highest}, binary.BigEndian.Uint64(b[n:])}, nil
}

// trade is a digest with a delta for its reader. In an answer taken says how
// many things of the question's delta were new.
type trade struct {
	taken  uint64
	digest []byte
	delta  []byte
}

func (t trade) encode() []byte {
	b := make([]byte, 0, len(t.digest)+len(t.delta)+2*binary.MaxVarintLen64)
	b = binary.AppendUvarint(b, t.taken)
	b = binary.AppendUvarint(b, uint64(len(t.digest)))
	b = append(b, t.digest...)
	return append(b, t.delta...)
}

// readTrade keeps parts of b.
func readTrade(b []byte) (trade, error) {
	taken, n := binary.Uvarint(b)
	if n <= 0 {
		return trade{}, fmt.Errorf("trade: %w", errMalformed)
	}
	b = b[n:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return trade{}, fmt.Errorf("trade: %w", errMalformed)
	}
	b = b[n:]
	return trade{taken: taken, digest: b[:size], delta: b[size:]}, nil
}

// appendPush writes a delta as it goes into a stream.
func appendPush(b, delta []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(delta))), delta...)
}

// pushReader is what readPush reads from.
type pushReader interface {
	io.Reader
	io.ByteReader
}

// readPush reads the next delta of a stream: io.EOF at its end.
func readPush(r pushReader) ([]byte, error) {
	size := 0
	for shift := 0; ; shift += 7 {
		c, err := r.ReadByte()
		if err != nil {
			if shift > 0 {
				err = noEOF(err)
			}
			return nil, err
		}
		if size |= int(c&0x7f) << shift; size > maxPush || shift > 21 {
			return nil, fmt.Errorf("push: %w: more than %d bytes", errMalformed, maxPush)
		}
		if c < 0x80 {
			break
		}
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("push: %w", noEOF(err))
	}
	return b, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readBody reads all of a body of at most limit bytes.
func readBody(r io.Reader, limit int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	if len(b) > limit {
		return nil, fmt.Errorf("read body: %w: more than %d bytes", errMalformed, limit)
	}
	return b, nil
}
