package sync

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

// FuzzFrames reads anything as each of the frames: what is taken is within its
// bounds, and a frame that was written is read as it was.
func FuzzFrames(f *testing.F) {
	for _, seed := range [][]byte{
		nil,
		hello{catalog.Protocols{Min: 1, Max: 2}, 7}.encode(),
		trade{taken: 3, digest: []byte("digest"), delta: []byte("delta")}.encode(),
		appendPush(appendPush(nil, []byte("one")), bytes.Repeat([]byte{0}, 300)),
		bytes.Repeat([]byte{0xff}, 20),
		{0x80, 0x80, 0x80, 0x80, 0},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := readHello(b); err == nil {
			if again, err := readHello(h.encode()); err != nil || again != h || h.protocols.Min < 1 || h.protocols.Max < h.protocols.Min {
				t.Errorf("hello %+v came back as %+v, %v", h, again, err)
			}
		}
		if r, err := readTrade(b); err == nil {
			again, err := readTrade(r.encode())
			if err != nil || again.taken != r.taken || !bytes.Equal(again.digest, r.digest) || !bytes.Equal(again.delta, r.delta) {
				t.Errorf("trade %+v came back as %+v, %v", r, again, err)
			}
		}
		in := bufio.NewReader(bytes.NewReader(b))
		var written []byte
		for {
			delta, err := readPush(in)
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errMalformed) {
					t.Errorf("unexpected: %v", err)
				}
				break
			}
			written = appendPush(written, delta)
		}
		if len(written) > len(b) {
			t.Errorf("read %d bytes out of %d", len(written), len(b))
		}
	})
}
