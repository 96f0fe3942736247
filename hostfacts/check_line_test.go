package hostfacts

import (
	"testing"
	"unicode/utf8"
)

// What a person reads is one printable line, whatever a service says.
func FuzzOneLine(f *testing.F) {
	f.Add([]byte("GET / 200\r\n\x1b[2J"), 200)
	f.Add([]byte("\xff\xfe…"), 3)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		size = max(0, size%1000)
		line := oneLine(b, size)
		if !utf8.ValidString(line) {
			t.Errorf("%q is no text", line)
		}
		if len(line) > size*utf8.UTFMax+len("…") {
			t.Errorf("%d bytes of %d", len(line), size)
		}
		for _, r := range line {
			if r < ' ' || r == 0x7f {
				t.Errorf("%q in %q", r, line)
			}
		}
	})
}
