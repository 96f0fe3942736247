package xds

import "testing"

// A gateway's bound of headers is never above what the mesh takes, whatever the
// configuration holds, and each hop takes more than the one before it.
func TestHeaderBounds(t *testing.T) {
	for bytes, want := range map[int64]uint32{0: 1, 1: 1, 1024: 1, 1025: 2, 60 << 10: 60, 128 << 10: 60, 1 << 40: 60} {
		if got := headersKiB(bytes); got != want {
			t.Errorf("%d bytes are %d KiB, want %d", bytes, got, want)
		}
	}
	if fromOutside.count >= fromApplication.count || fromApplication.count >= fromMesh.count {
		t.Error("a hop takes no more headers than the one before it")
	}
	if max(fromOutside.kib, fromApplication.kib) > 62 || fromMesh.kib < 96 { // HTTP/2 ends at 64 in one header
		t.Error("the bytes of a hop do not leave room for what hops add")
	}
}
