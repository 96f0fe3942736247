package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// portUse is one fixed port of a service's version or of a gateway, on its hosts.
type portUse struct {
	owner   string // `service "web"`
	version string
	unit    string
	port    int
	hosts   []string
	rng     hcl.Range // where the port is written
	block   string
	apart   string // of a version's: how versions on one host get ports of their own
	free    string // the way out of a port that is taken
}

// checkPorts finds fixed ports that nixmesh owns, or that are taken on a host by
// another (NM0306), or by another version of the same service (NM0305).
func (d *decoder) checkPorts(p *pairs) {
	var uses []portUse
	for i, s := range p.f.Services {
		d.checkInstancePorts(s, p.services[i])
		uses = append(uses, servicePorts(s, p.services[i])...)
	}
	for i, g := range p.f.Gateways {
		uses = append(uses, gatewayPorts(g, p.gateways[i])...)
	}
	taken, ssh := map[string]map[int]portUse{}, map[string]int{} // host -> port -> who
	for _, h := range p.f.Hosts {
		ssh[h.Name] = h.SSH.Port
	}
	told := map[hcl.Range]bool{}
	for _, u := range uses {
		why, where := reservedPort(u.port), "every host"
		if i := slices.IndexFunc(u.hosts, func(host string) bool { return ssh[host] == u.port }); i >= 0 {
			why, where = "SSH's", u.hosts[i]
		}
		if why != "" {
			if !told[u.rng] {
				d.add(problem{code: "NM0306", rng: u.rng, block: u.block, detail: fmt.Sprintf("Port %d is %s on %s.", u.port, why, where), hint: u.free})
			}
			told[u.rng] = true
			continue
		}
		other, hosts := claim(taken, u)
		if hosts != nil && !told[u.rng] {
			told[u.rng] = true
			d.add(portClash(u, other, hosts))
		}
	}
}

// claim takes a port on its hosts, and returns who has it already, and where.
func claim(taken map[string]map[int]portUse, u portUse) (other portUse, hosts []string) {
	for _, host := range u.hosts {
		if taken[host] == nil {
			taken[host] = map[int]portUse{}
		}
		first, used := taken[host][u.port]
		switch {
		case !used:
			taken[host][u.port] = u
		case strings.HasPrefix(u.owner, "gateway") && strings.HasPrefix(first.owner, "gateway"): // these may share: NM0413
		case u.owner == first.owner && u.unit != "" && u.unit == first.unit && u.version != first.version: // one unit: NM0321
		default:
			other, hosts = first, append(hosts, host)
		}
	}
	return other, hosts
}

func portClash(u, other portUse, hosts []string) problem {
	on := strings.Join(hosts, ", ")
	if u.owner == other.owner && u.version != other.version {
		return problem{code: "NM0305", rng: u.rng, block: u.block,
			detail: fmt.Sprintf("Versions %q and %q both take port %d on %s.", other.version, u.version, u.port, on),
			hint:   u.apart}
	}
	hint := u.free
	if strings.HasPrefix(u.owner, "gateway") {
		hint = "take another port for one of the two, or other hosts"
	}
	return problem{code: "NM0306", rng: u.rng, block: u.block,
		detail: fmt.Sprintf("Port %d on %s is %s's, at %s.", u.port, on, other.owner, at(other.rng)), hint: hint}
}

// servicePorts are the fixed ports of a service's versions. A version's port
// stands in place of the first listen's.
func servicePorts(s *Service, b *block) []portUse {
	listens, versions := b.all("listen"), b.all("version")
	if len(versions) > 0 && b.meant("unit") {
		return nil // versions of one unit: NM0301
	}
	var uses []portUse
	for i, v := range s.Variants() {
		for n, l := range s.Listens {
			u := portUse{owner: b.title, version: v.Name, unit: v.Unit, port: l.Port, hosts: v.On, block: b.title, apart: versionsApart(s, b, n), free: freePort(s, b, n)}
			if a := listens[n].attrs["port"]; a != nil {
				u.rng = a.expr.Range()
			}
			if n == 0 && v.Port != 0 {
				u.port, u.rng = v.Port, versions[i].attrs["port"].expr.Range()
			}
			if u.port != 0 {
				uses = append(uses, u)
			}
		}
	}
	return uses
}

// freePort is the way out of a port that is taken.
func freePort(s *Service, b *block, listen int) string {
	if why := needsPort(s, b, listen); why != "" {
		return "take another port: " + why
	}
	return "leave port out, or take another"
}

// versionsApart is the way out of one port for two versions on a host. A version
// has a port for the first listen only, and some listens need a fixed one.
func versionsApart(s *Service, b *block, listen int) string {
	switch fixed := needsPort(s, b, listen) != ""; {
	case fixed && listen == 0:
		return "give each version a port of its own"
	case fixed:
		return "give each version hosts of its own, by on"
	case listen == 0:
		return "leave port out of the listen, or give each version a port of its own"
	default:
		return "leave port out of the listen: each version gets one of its own as $PORT_NAME"
	}
}

func gatewayPorts(g *Gateway, b *block) []portUse {
	var uses []portUse
	listens := b.all("listen")
	for i, l := range g.Listens {
		u := portUse{owner: b.title, port: l.Port, hosts: g.On, rng: b.header, block: b.title, free: "take another port"}
		if !l.Default && i < len(listens) {
			u.rng = listens[i].header
			if a := listens[i].attrs["port"]; a != nil {
				u.rng = a.expr.Range()
			}
		}
		if u.port != 0 {
			uses = append(uses, u)
		}
	}
	return uses
}

// checkInstancePorts refuses a fixed port beside several instances (NM0305).
func (d *decoder) checkInstancePorts(s *Service, b *block) {
	if s.Instances < 2 || runsUnits(b) { // NM0320
		return
	}
	for i, part := range slices.Concat(b.all("listen"), b.all("version")) {
		if !part.has("port") {
			continue
		}
		hint := "leave port out: each instance gets one of its own as $PORT"
		if i >= len(s.Listens) {
			i = 0 // a version's is in place of the first listen's
		}
		if len(s.Listens) > 0 && needsPort(s, b, i) != "" {
			hint = "delete instances, and name more hosts in on: " + needsPort(s, b, i)
		}
		d.add(problem{code: "NM0305", rng: part.attrs["port"].expr.Range(), block: b.title,
			detail: fmt.Sprintf("%d instances on one host cannot all take one port.", s.Instances), hint: hint})
	}
}

// reservedPort says who owns a port on every host, "" for nobody. That of SSH is
// each host's own.
func reservedPort(port int) string {
	switch {
	case port >= 7946 && port <= 7948:
		return "the agent's"
	case port == 15443:
		return "the mesh's"
	case port >= 15900 && port <= 19999:
		return "in the range of edges, 15900-19999,"
	case port >= 20000 && port <= 29999:
		return "in the range that nixmesh allocates, 20000-29999,"
	default:
		return ""
	}
}
