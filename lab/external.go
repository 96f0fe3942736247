package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// externalNetwork is where a lab answers for servers outside of the fleet. Each lab
// has one of its own, which the machine does not see.
var externalNetwork = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 99, 0, 0}), prefixBits)

// External is a server outside of the fleet. The lab answers for it at those of its
// addresses that are within 10.99.0.0/24, with an echo of its protocol.
type External struct {
	Name       string
	Protocol   string           // http, http2, grpc, tcp, redis
	Addresses  []netip.AddrPort // others than the network's are left out
	TLS        bool             // callers speak TLS
	ServerName string           // with TLS: what its certificate says, "" = its addresses
}

// Answered says whether the lab answers for an external, wherever it is called.
func (x External) Answered() bool {
	return len(x.Addresses) > 0 && !slices.ContainsFunc(x.Addresses, func(at netip.AddrPort) bool { return !externalNetwork.Contains(at.Addr()) })
}

// answer is one address at which the lab answers. Chain and Key are PEM, and empty
// without TLS.
type answer struct {
	Name       string
	Protocol   string
	Address    netip.AddrPort
	Chain, Key []byte
}

// answers are those that the lab's externals need. No two of them share an address.
func (l *Lab) answers(p plan, now time.Time) ([]answer, error) {
	var all []answer
	for _, x := range l.externals {
		for _, at := range x.Addresses {
			if !externalNetwork.Contains(at.Addr()) {
				continue
			}
			if i := slices.IndexFunc(l.hosts, func(h Host) bool { return h.Address == at.Addr() }); i >= 0 || at.Addr() == p.machine {
				return nil, fmt.Errorf("external %s is at %s, which is an address of the lab's own: give it another one of %s", x.Name, at.Addr(), externalNetwork)
			}
			if i := slices.IndexFunc(all, func(a answer) bool { return a.Address == at }); i >= 0 {
				return nil, fmt.Errorf("externals %s and %s are both at %s: give one of them another port or address of %s", all[i].Name, x.Name, at, externalNetwork)
			}
			a := answer{Name: x.Name, Protocol: x.Protocol, Address: at}
			if x.TLS {
				ca, err := l.CA(now)
				if err != nil {
					return nil, err
				}
				name := x.ServerName
				if name == "" {
					name = at.Addr().String()
				}
				if a.Chain, a.Key, err = ca.Issue([]string{name}, now); err != nil {
					return nil, err
				}
			}
			all = append(all, a)
		}
	}
	return all, nil
}

// answerFor makes the supervisor answer at these addresses, and nowhere else. An
// answer that is given already goes on with its connections.
func (s *supervisor) answerFor(wanted []answer) error {
	s.answering.Lock()
	defer s.answering.Unlock()
	for at, running := range s.servers {
		if !slices.ContainsFunc(wanted, func(a answer) bool { return a.Address == at && a.same(running.answer) }) {
			running.close()
			delete(s.servers, at)
		}
	}
	s.mu.Lock()
	lines := make([]string, 0, len(wanted)+len(s.networks))
	for _, n := range s.networks {
		if n != externalNetwork {
			lines = append(lines, fmt.Sprintf("route replace %s dev %s", n, bridge))
		}
	}
	s.mu.Unlock()
	if len(wanted) == 0 {
		return nil
	}
	var addresses []string
	for _, a := range wanted {
		addresses = append(addresses, fmt.Sprintf("address replace %s/%d dev %s", a.Address.Addr(), prefixBits, bridge))
	}
	if err := ipBatch(s.Base, append(addresses, lines...)...); err != nil {
		return fmt.Errorf("answer for externals: %w", err)
	}
	for _, a := range wanted {
		if s.servers[a.Address] != nil {
			continue
		}
		server, err := a.serve(s.log)
		if err != nil {
			return fmt.Errorf("answer for external %s: %w", a.Name, err)
		}
		s.servers[a.Address] = server
	}
	return nil
}

// same says whether callers could not tell two answers apart; certificates are new
// each time.
func (a answer) same(b answer) bool {
	return a.Name == b.Name && a.Protocol == b.Protocol && a.Address == b.Address && sameNames(a.Chain, b.Chain)
}
