package spec

import (
	"fmt"
	"net/netip"
	"strconv"
)

// The kinds of entries that hold a number. Numbers are per fleet, so that one
// means the same on every host.
const (
	kindAddr = "addr" // loopback address of a mesh name
	kindEdge = "edge" // port of the caller's own Envoy for one upstream
	kindPort = "port" // port that an application listens on
	kindUID  = "uid"  // user id of a service
)

// numbered says whether entries of a kind hold a number.
func numbered(kind string) bool {
	return kind == kindAddr || kind == kindEdge || kind == kindPort || kind == kindUID
}

// lockRange are the first and the last number of a kind. An address counts from
// 127.64.0.0. Beside the uids, 39998 is nixmesh-agent and 39999 nixmesh-envoy.
// NixOS keeps 30000 to 31000 for the users that Nix builds as, and gives two
// numbers after these to groups (nixos/modules/misc/ids.nix).
func lockRange(kind string) (from, to int) {
	switch kind {
	case kindAddr:
		return 1, 0xfffe
	case kindEdge:
		return 15900, 19999
	case kindUID:
		return 32000, 39997
	default:
		return 20000, 29999
	}
}

// usable leaves out addresses that look like a network's or a broadcast: they
// work on loopback, and surprise whoever reads them.
func usable(kind string, n int) bool {
	return kind != kindAddr || n&0xff != 0 && n&0xff != 0xff
}

// numberText is a number as its line holds it: "20002", "127.64.0.1".
func numberText(kind string, n int) string {
	if kind == kindAddr {
		return netip.AddrFrom4([4]byte{127, 64, byte(n >> 8), byte(n)}).String()
	}
	return strconv.Itoa(n)
}

// parseNumber reads what numberText writes, and nothing else.
func parseNumber(kind, text string) (int, bool) {
	n, err := strconv.Atoi(text)
	if kind == kindAddr {
		var ip netip.Addr
		if ip, err = netip.ParseAddr(text); err == nil && ip.Is4() {
			b := ip.As4()
			n = int(b[2])<<8 | int(b[3])
		}
	}
	from, to := lockRange(kind)
	return n, err == nil && n >= from && n <= to && usable(kind, n) && numberText(kind, n) == text
}

// numberForm is how a line of a kind looks, for people.
func numberForm(kind string) string {
	from, to := lockRange(kind)
	switch kind {
	case kindAddr:
		return fmt.Sprintf("addr NAME ADDRESS, from %s to %s without those that end in .0 or .255", numberText(kind, from), numberText(kind, to))
	case kindEdge:
		return fmt.Sprintf("edge CALLER UPSTREAM[:LISTEN] NUMBER, from %d to %d", from, to)
	case kindPort:
		return fmt.Sprintf("port SERVICE[@VERSION][:LISTEN][/INSTANCE] NUMBER, from %d to %d", from, to)
	default:
		return fmt.Sprintf("uid USER NUMBER, from %d to %d", from, to)
	}
}

// portName is SERVICE[@VERSION][:LISTEN][/INSTANCE]. The first instance has no
// number, so that more instances never rename it.
func portName(service, version, listen string, instance int) string {
	name := service
	if version != "" {
		name += "@" + version
	}
	if listen != "" {
		name += ":" + listen
	}
	if instance > 1 {
		name += "/" + strconv.Itoa(instance)
	}
	return name
}

// edgeName is CALLER UPSTREAM[:LISTEN].
func edgeName(caller, upstream, listen string) string {
	name := caller + " " + upstream
	if listen != "" {
		name += ":" + listen
	}
	return name
}
