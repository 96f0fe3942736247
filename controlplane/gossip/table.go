package gossip

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
)

// maxName bounds a host's name, as DNS does a label.
const maxName = 63

var (
	// ErrMoved is returned by SetMembers when this host's own address differs
	// from the one that it listens on: gossip has to be started anew.
	ErrMoved = errors.New("this host's address changed")
	// ErrMembers is returned for a table of hosts that cannot be one.
	ErrMembers = errors.New("table of hosts")
)

// table is who may be a member: the hosts of the mesh configuration.
type table struct {
	self string

	mu     sync.RWMutex // guards what follows
	byName map[string]netip.AddrPort
	byAddr map[netip.AddrPort]string
	ips    map[netip.Addr]bool
}

// newTable copies the hosts; self has to be one of them.
func newTable(self string, hosts map[string]netip.AddrPort) (*table, error) {
	t := &table{self: self}
	if !hosts[self].IsValid() {
		return nil, fmt.Errorf("%w: lacks this host, %q", ErrMembers, self)
	}
	return t, t.fill(hosts)
}

// fill replaces the hosts. It wants mu held, or nobody else around.
func (t *table) fill(hosts map[string]netip.AddrPort) error {
	if len(hosts) > maxHosts {
		return fmt.Errorf("%w: %d hosts, at most %d", ErrMembers, len(hosts), maxHosts)
	}
	byName, byAddr, ips := map[string]netip.AddrPort{}, map[netip.AddrPort]string{}, map[netip.Addr]bool{}
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		at := unmap(hosts[name])
		switch {
		case name == "" || len(name) > maxName || !printable(name):
			return fmt.Errorf("%w: name %.70q", ErrMembers, name)
		case !at.IsValid() || at.Addr().IsUnspecified() || at.Addr().Zone() != "":
			return fmt.Errorf("%w: %s has the address %s", ErrMembers, name, at)
		case byAddr[at] != "" && at.Port() != 0:
			return fmt.Errorf("%w: %s and %s have the address %s", ErrMembers, byAddr[at], name, at)
		}
		byName[name], byAddr[at], ips[at.Addr()] = at, name, true
	}
	t.byName, t.byAddr, t.ips = byName, byAddr, ips
	return nil
}

// replace takes other hosts and returns what changed. This host stays in the
// table, whether or not the new ones name it: what others think of it is theirs
// to decide.
func (t *table) replace(hosts map[string]netip.AddrPort) (removed, added, moved []string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.byName[t.self]
	if at := unmap(hosts[t.self]); at.IsValid() && at != own {
		return nil, nil, nil, fmt.Errorf("%w: from %s to %s", ErrMoved, own, at)
	}
	all := map[string]netip.AddrPort{}
	maps.Copy(all, hosts)
	all[t.self] = own
	before := t.byName
	if err := t.fill(all); err != nil {
		return nil, nil, nil, err
	}
	for name, at := range before {
		switch now, ok := t.byName[name]; {
		case !ok:
			removed = append(removed, name)
		case now != at:
			moved = append(moved, name)
		}
	}
	for name := range t.byName {
		if !before[name].IsValid() {
			added = append(added, name)
		}
	}
	return removed, added, moved, nil
}

// settle puts the address that the machine chose for this host in place of a
// port of 0.
func (t *table) settle(at netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byAddr, t.byName[t.self])
	at = unmap(at)
	t.byName[t.self], t.byAddr[at], t.ips[at.Addr()] = at, t.self, true
}

// addr returns the address of a host; it is not valid for a name that the table lacks.
func (t *table) addr(name string) netip.AddrPort {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byName[name]
}

// sender tells whether packets may come from an address.
func (t *table) sender(at netip.AddrPort) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byAddr[unmap(at)] != ""
}

// caller tells whether connections may come from an address. Their port is any.
func (t *table) caller(ip netip.Addr) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.ips[ip.Unmap()]
}

// names lists all hosts, sorted.
func (t *table) names() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Sorted(maps.Keys(t.byName))
}

func unmap(at netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}
