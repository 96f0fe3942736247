package catalog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/mesh"
)

// Keys checks signatures: keys and certificates stay outside. The newest
// node.cert of a host is the one that counts; Rekey tells the catalog of it.
type Keys interface {
	// VerifyNode checks what a host signed with its node key: ErrNoKey when no
	// key of it is known, another error when the signature is not the key's.
	VerifyNode(host string, message, signature []byte) error

	// VerifyOperator checks what an operator signed (SSHSIG, namespace
	// "nixmesh-override") and names the operator.
	VerifyOperator(message, signature []byte) (operator string, err error)
}

// ErrNoKey is VerifyNode's answer about a host whose node.cert is not known
// yet: the peer that sent the record can be asked for it.
var ErrNoKey = errors.New("no key of the host is known")

// Catalog is what one agent knows of the fleet.
type Catalog struct {
	self      string
	keys      Keys
	owners    map[string]*owner // one for each host of the mesh configuration
	overrides *overrides
	log       *changeLog
	seen      int // hosts that are not dead, this one too
	guard     Guard
}

// New makes the catalog of a host that knows nothing yet but itself.
func New(self string, keys Keys) *Catalog {
	log := newChangeLog()
	c := &Catalog{self: self, keys: keys, owners: map[string]*owner{}, overrides: newOverrides(log), log: log}
	c.setHosts(map[string]bool{self: true})
	c.owners[self].liveness = liveness{state: Alive, standing: Up}
	c.seen = 1
	return c
}

// Configure tells what the mesh configuration names. Other hosts are refused,
// other services' overrides too, and what was known of them is forgotten.
func (c *Catalog) Configure(config *mesh.Config) {
	hosts := make(map[string]bool, len(config.Hosts)+1)
	hosts[c.self] = true
	for name := range config.Hosts {
		hosts[name] = true
	}
	c.setHosts(hosts)
	services := make(map[string]bool, len(config.Services))
	for name := range config.Services {
		services[name] = true
	}
	c.overrides.setNames(hosts, services)
}

func (c *Catalog) setHosts(hosts map[string]bool) {
	for name, o := range c.owners {
		if !hosts[name] {
			delete(c.owners, name)
			c.changedAll(o)
			if o.liveness.seen() {
				c.seen--
			}
		}
	}
	for name := range hosts {
		if c.owners[name] == nil {
			c.owners[name] = newOwner(name)
			c.log.add(Change{What: HostChanged, Host: name})
		}
	}
}

// Rekey says that another key of a host counts now. Its records under the old
// one are no longer relayed; they are shown until those under the new key are
// here. A key that was revoked shows nothing: everything of it is forgotten.
func (c *Catalog) Rekey(now time.Time, host string, revoked bool) {
	o := c.owners[host]
	if o == nil || host == c.self {
		return
	}
	valid := true
	for _, e := range o.bySeq {
		message, signature := e.message()
		if c.keys.VerifyNode(host, message, signature) != nil {
			valid = false
			break
		}
	}
	if valid && !revoked {
		return
	}
	c.changedAll(o)
	o.begin(0, now)
	if revoked {
		o.leftovers = nil
	}
}

// changedAll logs a change of every record of a host.
func (c *Catalog) changedAll(o *owner) {
	c.log.add(Change{What: HostChanged, Host: o.name})
	for key := range o.records {
		c.changed(o.name, key)
	}
	for key := range o.leftovers {
		c.changed(o.name, key)
	}
}

func (c *Catalog) changed(host string, key Key) {
	switch key.Kind {
	case KindHost:
		c.log.add(Change{What: HostChanged, Host: host})
	case KindService:
		c.log.add(Change{What: ServiceChanged, Host: host, Name: key.Name})
	default:
		c.log.add(Change{What: OtherChanged, Host: host, Kind: key.Kind, Name: key.Name})
	}
}

// Host is what a host says of itself, nil while it said nothing.
func (c *Catalog) Host(name string) *Host {
	if o := c.owners[name]; o != nil {
		if e := o.current(Key{Kind: KindHost}); e != nil {
			return e.host
		}
	}
	return nil
}

// Record is the record of a key that counts, nil when there is none.
func (c *Catalog) Record(host string, key Key) *Record {
	if o := c.owners[host]; o != nil {
		if e := o.current(key); e != nil {
			return e.Record
		}
	}
	return nil
}

// Documents tells which mesh configuration each host acts on: hosts by document,
// sorted. Those that were not heard of, or have none yet, are under the zero one.
func (c *Catalog) Documents() map[Document][]string {
	documents := map[Document][]string{}
	for _, name := range slices.Sorted(maps.Keys(c.owners)) {
		document := Document{}
		if h := c.Host(name); h != nil {
			document = h.Document
		}
		documents[document] = append(documents[document], name)
	}
	return documents
}

// OwnerStatus is how well a host's records are known here.
type OwnerStatus struct {
	Known
	Records   int
	Complete  bool // proved by a sum that the host signed
	Rereading bool // something was left out, and is being read again
	Disputed  bool // the host signed two states with one stamp
	Leftovers int  // records shown of its last epoch
	Standing  Standing
}

// Status tells how well a host is known; false for one that the mesh
// configuration does not name.
func (c *Catalog) Status(host string) (OwnerStatus, bool) {
	o := c.owners[host]
	if o == nil {
		return OwnerStatus{}, false
	}
	return OwnerStatus{
		Known: o.known(), Records: len(o.records), Complete: o.complete, Rereading: o.reread, Disputed: o.disputed,
		Leftovers: len(o.leftovers), Standing: o.liveness.standing,
	}, true
}

func (s OwnerStatus) String() string {
	return fmt.Sprintf("%s %d records, complete %t", s.Stamp, s.Records, s.Complete)
}
