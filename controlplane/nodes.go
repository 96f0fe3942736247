package controlplane

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// nodes knows which node key is which host's, and whose signatures are an
// operator's. It is what the catalog and the exchange judge by.
type nodes struct {
	self  string
	own   trust.NodeCert
	files *files
	rekey func(host string, revoked bool) // another key of the host counts now; called without mu

	mu        sync.Mutex // guards what follows
	book      *trust.NodeBook
	pinned    map[string]string         // host -> SSH host key, of the mesh configuration
	current   map[string]trust.NodeCert // of the book, those that were held against the pinned key
	operators *operators
	unsaved   bool
}

// nodes is both sides' judge.
var _ catalog.Keys = (*nodes)(nil)

// maxBook bounds the file, in bytes: some 4,000 hosts.
const maxBook = 4 << 20

func loadNodes(own trust.NodeCert, f *files) *nodes {
	n := &nodes{
		self: own.Host, own: own, files: f,
		book: &trust.NodeBook{}, pinned: map[string]string{}, current: map[string]trust.NodeCert{},
		operators: &operators{},
	}
	if content := f.read(fileNodes, maxBook); content != nil {
		book, err := trust.ParseNodeBook(content)
		if err != nil {
			f.setAside(fileNodes, err)
		} else {
			n.book = book
		}
	}
	return n
}

// Own is this host's certificate.
func (n *nodes) Own() trust.NodeCert { return n.own }

// configure takes the host keys of a mesh configuration. What was certified by a
// key that is pinned no more is worth nothing from now on.
func (n *nodes) configure(config *mesh.Config) error {
	revoked, err := n.pin(config)
	for _, host := range revoked {
		n.rekey(host, true)
	}
	return err
}

func (n *nodes) pin(config *mesh.Config) (revoked []string, ownErr error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.pinned
	n.pinned = make(map[string]string, len(config.Hosts))
	for name, host := range config.Hosts {
		n.pinned[name] = host.HostKey
	}
	for name := range n.current {
		if n.pinned[name] != before[name] {
			delete(n.current, name)
			revoked = append(revoked, name)
		}
	}
	n.book.Keep(func(host string) bool { return config.Hosts[host] != nil })
	if key, named := n.pinned[n.self]; named {
		ownErr = n.book.Admit(n.own, n.self, key)
	}
	n.unsaved = true
	return revoked, ownErr
}

// setOperators takes whose signatures count.
func (n *nodes) setOperators(o *operators) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.operators = o
}

// Admit checks a node certificate against the host key that is pinned for the
// host, and remembers it where it is the newest.
func (n *nodes) Admit(host string, c trust.NodeCert) error {
	rekeyed, err := n.admit(host, c)
	if rekeyed {
		n.rekey(host, false)
	}
	return err
}

func (n *nodes) admit(host string, c trust.NodeCert) (rekeyed bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	key, named := n.pinned[host]
	if !named {
		return false, fmt.Errorf("admit %q: %w", host, catalog.ErrUnknownHost)
	}
	before, known := n.of(host)
	if known && bytes.Equal(c.Text(), before.Text()) {
		return false, nil // it was checked when it came
	}
	err = n.book.Admit(c, host, key)
	if err == nil {
		delete(n.current, host)
	}
	now, _ := n.of(host)
	if now.Created != before.Created || now.Key != before.Key {
		n.unsaved = true
	}
	return err == nil && known && now.Key != before.Key, err
}

// of is the certificate of a host that counts. mu is held.
func (n *nodes) of(host string) (trust.NodeCert, bool) {
	if c, ok := n.current[host]; ok {
		return c, true
	}
	key, named := n.pinned[host]
	if !named || key == "" {
		return trust.NodeCert{}, false
	}
	c, ok := n.book.Of(host, key)
	if ok {
		n.current[host] = c
	}
	return c, ok
}

// VerifyNode checks what a host signed with its node key.
func (n *nodes) VerifyNode(host string, message, signature []byte) error {
	key := n.own.Key
	if host != n.self {
		n.mu.Lock()
		c, ok := n.of(host)
		n.mu.Unlock()
		if !ok {
			return catalog.ErrNoKey
		}
		key = c.Key
	}
	return key.Verify(trust.PurposeRecord, message, signature)
}

// VerifyOperator checks what an operator signed, and names the operator.
func (n *nodes) VerifyOperator(message, signature []byte) (string, error) {
	n.mu.Lock()
	o := n.operators
	n.mu.Unlock()
	return o.signer(message, signature)
}

// texts are the certificates that are known of some hosts.
func (n *nodes) texts(hosts []string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for _, host := range hosts {
		if c, ok := n.of(host); ok {
			out = append(out, string(c.Text()))
		}
	}
	return out
}

// admitAll takes certificates that a peer has, and says how many were good.
func (n *nodes) admitAll(texts []string) (good int, err error) {
	for _, text := range texts {
		c, e := trust.ParseNodeCert([]byte(text))
		if e == nil {
			e = n.Admit(c.Host, c)
		}
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		good++
	}
	return good, err
}

// save keeps the book on disk where it changed.
func (n *nodes) save() {
	n.mu.Lock()
	var text []byte
	if n.unsaved {
		text = n.book.Text()
		n.unsaved = false
	}
	n.mu.Unlock()
	if text != nil {
		n.files.save(fileNodes, text)
	}
}
