package spec

import (
	"strings"
	"testing"
)

// What the ca commands write is read again, and nothing else moves.
func TestLockOfACA(t *testing.T) {
	const root = "SHA256:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE"
	l := mustParseLock(t, []byte(lockHeader+"\nhostkey a "+testKey+"\nport web 20001\n"))
	if err := l.SetCA("shop", root); err != nil {
		t.Fatal(err)
	}
	if !l.AddAuthority("db2") || !l.AddAuthority("db1") || l.AddAuthority("db2") {
		t.Error("a host is new once")
	}
	lockIs(t, l, "authority db1", "authority db2", "ca shop "+root, "hostkey a "+testKey, "port web 20001")
	l = mustParseLock(t, l.Bytes())
	if l.CA() != root || strings.Join(l.Authorities(), " ") != "db1 db2" {
		t.Errorf("read again: %s, %v", l.CA(), l.Authorities())
	}
	if !l.RemoveAuthority("db1") || l.RemoveAuthority("db1") || l.RemoveAuthority("db9") {
		t.Error("a host goes once")
	}
	lockIs(t, l, "authority db2", "ca shop "+root, "hostkey a "+testKey, "port web 20001")
	l.AddAuthority("db9")
	if d := l.Stray(&Fleet{Hosts: []*Host{{Name: "db2"}}}); len(d) != 1 || d[0].Hint != "nixmesh ca authority remove db9, or put the host back" {
		t.Errorf("a stray authority: %v", d)
	}
	for _, bad := range [][2]string{{"Shop", root}, {"shop", "MD5:x"}, {"", root}, {"shop", ""}} {
		if err := l.SetCA(bad[0], bad[1]); err == nil || l.CA() != root {
			t.Errorf("%q: %v, now %s", bad, err, l.CA())
		}
	}
	if l := (&Lock{}); !l.AddAuthority("db1") || len(l.Authorities()) != 1 {
		t.Error("an empty lock takes no authority")
	}
}
