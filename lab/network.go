package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	linkPrefix = "nmlab" // the machine's end of a lab's link, with the lab's id behind it

	bridge  = "lab"     // in the supervisor's network namespace
	uplink  = "machine" // the bridge's end of the link to the machine
	hostEnd = "eth0"    // what a host sees
)

// toolDeadline bounds a network program, which takes milliseconds.
const toolDeadline = 20 * time.Second

// tool runs a network program of the base image, in this process's network
// namespace, with a script on its standard input.
func tool(root, input, program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), toolDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	cmd.Dir = "/"
	cmd.Stdin = strings.NewReader(input)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin", "LC_ALL=C"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// ipBatch gives ip(8) several commands at once.
func ipBatch(root string, lines ...string) error {
	return tool(root, strings.Join(lines, "\n")+"\n", "/usr/sbin/ip", "-batch", "-")
}

// isLabLink recognises the machine's end of a lab.
func isLabLink(name string) bool { return strings.HasPrefix(name, linkPrefix) }

// connectMachine gives the machine a link into the lab's network namespace,
// which is that of process pid. The link goes away with that namespace.
func (l *Lab) connectMachine(ctx context.Context, lock *os.File, base string, pid int) error {
	return l.ip(ctx, lock, base, fmt.Sprintf("link add %s type veth peer name %s netns %d", l.link(), uplink, pid))
}

// addressMachine sets the machine's address and its routes to the hosts.
func (l *Lab) addressMachine(ctx context.Context, lock *os.File, base string, p plan) error {
	lines := []string{
		fmt.Sprintf("address replace %s/%d dev %s", p.machine, prefixBits, l.link()),
		fmt.Sprintf("link set %s up", l.link()),
	}
	return l.ip(ctx, lock, base, append(lines, routesTo(p.networks, p.networks[0], l.link(), p.machine)...)...)
}

// ip gives the image's ip(8) commands for the machine's own network. It holds
// the lab's lock, see Lab.lock.
func (l *Lab) ip(ctx context.Context, lock *os.File, base string, lines ...string) error {
	cmd := l.view(base).command(ctx, nil, "ip", "-batch", "-")
	cmd.ExtraFiles = []*os.File{lock}
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("connect this machine: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// routesTo makes the lab's other networks reachable on the same link.
func routesTo(networks []netip.Prefix, own netip.Prefix, link string, source netip.Addr) []string {
	var lines []string
	for _, n := range networks {
		if n != own {
			lines = append(lines, fmt.Sprintf("route replace %s dev %s src %s", n, link, source))
		}
	}
	return lines
}

// makeBridge makes the lab's switch; the machine's link is there already.
func makeBridge(base string) error {
	return ipBatch(base,
		"link set lo up",
		"link add "+bridge+" type bridge forward_delay 0",
		"link set "+bridge+" up",
		"link set "+uplink+" master "+bridge+" up")
}

// plug connects a host, whose network namespace is that of process pid, to the
// bridge. An old plug of the same host is removed first. The hardware address
// comes from the host's address: it is the same after a reboot, as a real
// card's is, and nobody's neighbour table is wrong.
func plug(base, port string, pid int, address netip.Addr) error {
	_ = ipBatch(base, "link del "+port) // normally gone with the namespace
	return ipBatch(base,
		fmt.Sprintf("link add %s type veth peer name %s address %s netns %d", port, hostEnd, hardwareAddress(address), pid),
		fmt.Sprintf("link set %s master %s up", port, bridge))
}

// hardwareAddress is a locally administered address with the host's address
// in its last four bytes.
func hardwareAddress(a netip.Addr) net.HardwareAddr {
	return append(net.HardwareAddr{0x02, 0x6e}, a.AsSlice()...)
}

// routed are the networks that a host reaches on its card.
func routed(networks []netip.Prefix) []netip.Prefix {
	if slices.Contains(networks, externalNetwork) {
		return networks
	}
	return append(slices.Clone(networks), externalNetwork)
}

// addressHost configures the network from inside the host's namespace.
func addressHost(root string, c bootConfig) error {
	own, err := c.Address.Prefix(prefixBits)
	if err != nil {
		return err
	}
	lines := []string{
		"link set lo up",
		fmt.Sprintf("address add %s/%d dev %s", c.Address, prefixBits, hostEnd),
		"link set " + hostEnd + " up",
	}
	return ipBatch(root, slices.Concat(lines, routesTo(c.Networks, own, hostEnd, c.Address))...)
}
