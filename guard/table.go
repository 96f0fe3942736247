package guard

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"

	"golang.org/x/sys/unix"
)

// Names of the table and of its copy, whose family is inet.
const (
	tableName = "nixmesh"
	copyName  = "nixmesh_copy"
)

// Attributes of messages, as linux/netfilter/nf_tables.h numbers them. The name
// of the table is the first one of each kind but that of a generation.
const (
	attrTable         = 1
	attrTableFlags    = 2
	attrTableUserdata = 6

	attrGenerationProcess = 3

	attrObjectName = 2
	attrObjectType = 3
	attrObjectData = 4

	attrCounterPackets = 2
)

// flagDormant is of a table that is there and does not act.
const flagDormant = 1

// userdataComment is the kind of a table's user data that is its comment, as
// nft writes it.
const userdataComment = 0

// commentLine is how the file of a table says which it is.
var commentLine = regexp.MustCompile(`(?m)^  comment "nixmesh ([0-9a-f]{64})"$`)

// hashOf is the hash in the file of a table.
func hashOf(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the table: %w", err)
	}
	m := commentLine.FindSubmatch(b)
	if m == nil {
		return "", fmt.Errorf("read the table: %s does not say which it is", file)
	}
	return string(m[1]), nil
}

// of says whether the message is of the table of that name.
func (m message) of(name string) bool {
	return m.kind != unix.NFT_MSG_NEWGEN && m.family == unix.NFPROTO_INET && m.attrs.text(attrTable) == name
}

// hash is what a message of our table says of it: the hash in its comment, ""
// where it has none, or where the table does not act.
func (m message) hash() string {
	if m.attrs.number(attrTableFlags)&flagDormant != 0 {
		return ""
	}
	data := m.attrs[attrTableUserdata]
	for len(data) >= 2 {
		kind, size := data[0], int(data[1])
		if size > len(data)-2 {
			break
		}
		value := data[2 : 2+size]
		if hash, ours := bytes.CutPrefix(value, []byte("nixmesh ")); kind == userdataComment && ours {
			return string(bytes.TrimRight(hash, "\x00"))
		}
		data = data[2+size:]
	}
	return ""
}

// loaded asks the kernel which table of that name it has, "" is none of ours.
func (s *socket) loaded(name string) (string, error) {
	messages, err := s.ask(unix.NFT_MSG_GETTABLE, 0, attribute(nil, attrTable, append([]byte(name), 0)))
	switch {
	case errors.Is(err, unix.ENOENT):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("ask for the kernel's table: %w", err)
	}
	for _, m := range messages {
		if m.kind == unix.NFT_MSG_NEWTABLE && m.of(name) {
			return m.hash(), nil
		}
	}
	return "", nil
}

// counts asks the kernel what a table refused, nothing where there is none.
func (s *socket) counts(name string) (Counts, error) {
	var c Counts
	request := attribute(nil, attrTable, append([]byte(name), 0))
	request = attribute(request, attrObjectType, []byte{0, 0, 0, unix.NFT_OBJECT_COUNTER})
	messages, err := s.ask(unix.NFT_MSG_GETOBJ, unix.NLM_F_DUMP, request)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return c, fmt.Errorf("ask for the counters of the kernel's table: %w", err)
	}
	counts := c.byName()
	for _, m := range messages {
		count := counts[m.attrs.text(attrObjectName)]
		if m.kind == unix.NFT_MSG_NEWOBJ && m.of(name) && count != nil {
			*count = parseAttributes(m.attrs[attrObjectData]).number(attrCounterPackets)
		}
	}
	return c, nil
}
