package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// prefixBits is the size of the networks that the lab's hosts lie in: each
// host's address with its /24 on the link.
const prefixBits = 24

// plan is who has which address in the lab.
type plan struct {
	networks []netip.Prefix // the hosts' networks, without doubles
	machine  netip.Addr     // the machine's own address on the lab's link
}

// planAddresses finds the networks of the hosts, and for the machine the
// highest address of the first network that no host has.
func planAddresses(hosts []Host) (plan, error) {
	var p plan
	taken := map[netip.Addr]string{}
	for _, h := range hosts {
		if !h.Address.Is4() {
			return p, fmt.Errorf("host %s has address %s: the lab gives hosts IPv4 addresses; use one in the spec", h.Name, h.Address)
		}
		if other := taken[h.Address]; other != "" {
			return p, fmt.Errorf("hosts %s and %s have the same address %s: give one of them another in nixmesh.hcl", other, h.Name, h.Address)
		}
		taken[h.Address] = h.Name
		network, err := h.Address.Prefix(prefixBits)
		if err != nil {
			return p, fmt.Errorf("plan addresses: %w", err)
		}
		if !slices.Contains(p.networks, network) {
			p.networks = append(p.networks, network)
		}
	}
	if len(p.networks) == 0 {
		return p, errors.New("the fleet has no host to boot: write a host block in nixmesh.hcl")
	}
	for last := byte(254); last > 0; last-- {
		b := p.networks[0].Addr().As4()
		b[3] = last
		if p.machine = netip.AddrFrom4(b); taken[p.machine] == "" {
			return p, nil
		}
	}
	return p, fmt.Errorf("network %s has no address left for this machine: give a host one of another network", p.networks[0])
}

// checkClash refuses networks that the machine uses otherwise: packets to the
// hosts would go there, or packets to there into the lab. link is the lab's
// own interface.
func checkClash(p plan, link string) error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("read the machine's interfaces: %w", err)
	}
	for _, i := range interfaces {
		if i.Name == link {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			return fmt.Errorf("read the addresses of %s: %w", i.Name, err)
		}
		for _, a := range addresses {
			used, err := netip.ParsePrefix(a.String())
			if err != nil || !used.Addr().Is4() {
				continue
			}
			if err := clash(p, used.Masked(), i.Name); err != nil {
				return err
			}
		}
	}
	routes, err := machineRoutes()
	if err != nil {
		return err
	}
	for _, r := range routes {
		if r.link == link || r.to.Bits() == 0 {
			continue
		}
		if err := clash(p, r.to, r.link); err != nil {
			return err
		}
	}
	return nil
}

// labOf names the state folder of the lab that a link belongs to, as its
// supervisor's command line has it; "" when it cannot be told.
func labOf(link string) string {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return ""
	}
	for _, path := range lines {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it is gone
		}
		words := strings.Split(string(text), "\x00")
		if words[0] == stageSupervise && len(words) > 1 && linkName(words[1]) == link {
			return ", the one in " + words[1]
		}
	}
	return ""
}

func clash(p plan, used netip.Prefix, link string) error {
	for _, n := range p.networks {
		if !n.Overlaps(used) {
			continue
		}
		hint := "Give the hosts addresses of another network in nixmesh.hcl, or take " + link + " down, or run all nixmesh commands in a network namespace of their own (ip netns add lab; ip netns exec lab nixmesh lab up)"
		if isLabLink(link) {
			hint = "Another lab of this machine has it" + labOf(link) + ": run nixmesh lab down there, or give the hosts addresses of another network"
		}
		return fmt.Errorf("the hosts' network %s clashes with %s on this machine's %s. %s", n, used, link, hint)
	}
	return nil
}
