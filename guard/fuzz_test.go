package guard

import (
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzAttributes: whatever the bytes are, reading them ends.
func FuzzAttributes(f *testing.F) {
	name := attribute(nil, attrTable, []byte(tableName+"\x00"))
	f.Add(attribute(name, attrTableUserdata, append([]byte{userdataComment, 73}, "nixmesh 0000000000000000000000000000000000000000000000000000000000000000\x00"...)))
	f.Add(attribute(name, attrTableFlags, []byte{0, 0, 0, flagDormant}))
	f.Add([]byte{5, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		attrs := parseAttributes(b)
		var g generation
		for _, kind := range []uint16{unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE, unix.NFT_MSG_NEWRULE, unix.NFT_MSG_NEWGEN} {
			if ended := g.add(message{kind: kind, family: unix.NFPROTO_INET, attrs: attrs}); ended != (kind == unix.NFT_MSG_NEWGEN) {
				t.Errorf("message %d ends the transaction: %v", kind, ended)
			}
		}
		if g.touched != (attrs.text(attrTable) == tableName) || len(g.by) > 15 || g.hash != "" {
			t.Errorf("%+v", g)
		}
	})
}
