package trust

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"
)

// NodeBook remembers the newest node certificate of each host, so that a node
// key that was replaced cannot be used again by who stole it. It is a value of
// one owner: it has no lock.
type NodeBook struct{ newest map[string]NodeCert }

// Admit checks a certificate against the host key that is pinned now, and
// remembers it where it is the newest. A certificate that is older than the one
// known is an ErrNodeOld, unless it is of the same node key, or the known one's
// host key is pinned no more.
func (b *NodeBook) Admit(c NodeCert, host, hostKey string) error {
	if err := c.Verify(host, hostKey); err != nil {
		return err
	}
	known, ok := b.newest[host]
	switch {
	case !ok || known.Verify(host, hostKey) != nil || c.Newer(known):
		if b.newest == nil {
			b.newest = map[string]NodeCert{}
		}
		b.newest[host] = c
	case known.Newer(c) && known.Key != c.Key:
		return fmt.Errorf("%w: of %s, and this one is of %s", ErrNodeOld, known.Created.Format(time.RFC3339), c.Created.Format(time.RFC3339))
	}
	return nil
}

// Of is the newest certificate of a host, if it is of the host key that is
// pinned now.
func (b *NodeBook) Of(host, hostKey string) (NodeCert, bool) {
	c, ok := b.newest[host]
	if !ok || c.Verify(host, hostKey) != nil {
		return NodeCert{}, false
	}
	return c, true
}

// Keep forgets the hosts that the fleet has no more.
func (b *NodeBook) Keep(has func(host string) bool) {
	maps.DeleteFunc(b.newest, func(host string, _ NodeCert) bool { return !has(host) })
}

// Text is the book as it is kept: the certificates, by host.
func (b *NodeBook) Text() []byte {
	var out []byte
	for _, host := range slices.Sorted(maps.Keys(b.newest)) {
		out = append(out, b.newest[host].Text()...)
	}
	return out
}

// maxNodes bounds a book.
const maxNodes = 10_000

// ParseNodeBook reads what Text wrote. Its certificates are held against the
// pinned keys when they are used.
func ParseNodeBook(text []byte) (*NodeBook, error) {
	b := &NodeBook{newest: map[string]NodeCert{}}
	for last := ""; len(text) > 0; {
		_, rest, ok := bytes.Cut(text, []byte(sigEnd+"\n"))
		if !ok {
			return nil, fmt.Errorf("read node book: %w: it is cut off", ErrNodeCert)
		}
		c, err := ParseNodeCert(text[:len(text)-len(rest)])
		if err != nil {
			return nil, fmt.Errorf("read node book: %w", err)
		}
		if c.Host <= last || len(b.newest) == maxNodes {
			return nil, fmt.Errorf("read node book: %w: hosts out of order, or too many", ErrNodeCert)
		}
		b.newest[c.Host], last, text = c, c.Host, rest
	}
	return b, nil
}
