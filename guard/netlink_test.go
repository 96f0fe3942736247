package guard

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAskAfterALateAnswer: the answer to a question that was given up is read
// by a later one, and is not its own.
func TestAskAfterALateAnswer(t *testing.T) {
	t.Parallel()
	needKernel(t)
	n := newNetwork(t)
	file := filepath.Join(t.TempDir(), "guard.nft")
	if err := os.WriteFile(file, []byte("table inet nixmesh {\n  comment \"nixmesh 01\"\n  counter undeclared { packets 7 bytes 8 }\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.run(t, "nft", "-f", file)
	var s *socket
	if err := n.do(func() (err error) { s, err = openSocket(false); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	s.limit = patience
	table := func(name string) []byte { return attribute(nil, attrTable, []byte(name+"\x00")) }
	for _, late := range []struct {
		what        string
		kind, flags uint16
		attrs       []byte
	}{
		{"a table", unix.NFT_MSG_GETTABLE, 0, table(tableName)},
		{"a table that is not there", unix.NFT_MSG_GETTABLE, 0, table(copyName)},
		{"a list, half read", unix.NFT_MSG_GETOBJ, unix.NLM_F_DUMP, table(tableName)},
	} {
		if err := s.send(late.kind, late.flags, late.attrs); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if hash, err := s.loaded(tableName); err != nil || hash != "01" {
				t.Errorf("after %s: the table is %q %v", late.what, hash, err)
			}
			if hash, err := s.loaded(copyName); err != nil || hash != "" {
				t.Errorf("after %s: the copy is %q %v", late.what, hash, err)
			}
			if c, err := s.counts(tableName); err != nil || c != (Counts{Undeclared: 7}) {
				t.Errorf("after %s: the table counts %+v %v", late.what, c, err)
			}
		}
	}
}
