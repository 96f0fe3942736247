package rollback

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// bannerWait is how long sshd may take to answer after a revert restarted it.
const bannerWait = 15 * time.Second

// sshAnswers lists the addresses of this host's own sshd that send an SSH
// banner now; after a revert exactly these have to answer again.
func (h *helper) sshAnswers(ctx context.Context) []string {
	var good []string
	for _, a := range h.sshAddresses() {
		if h.answersSSH(ctx, a) {
			good = append(good, a)
		}
	}
	return good
}

func (h *helper) answersSSH(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	line, err := h.Banner(ctx, address)
	return err == nil && strings.HasPrefix(line, "SSH-")
}

// sshAddresses are the ports of sshd_config, on loopback; 22 where it names
// none.
func (h *helper) sshAddresses() []string {
	var addresses []string
	for _, line := range strings.Split(h.text("/etc/ssh/sshd_config"), "\n") {
		f := strings.Fields(line)
		if len(f) == 2 && strings.EqualFold(f[0], "Port") {
			addresses = append(addresses, net.JoinHostPort("127.0.0.1", f[1]))
		}
		if len(f) == 2 && strings.EqualFold(f[0], "ListenAddress") {
			if host, port, err := net.SplitHostPort(f[1]); err == nil {
				addresses = append(addresses, net.JoinHostPort(loopbackFor(host), port))
			}
		}
	}
	if len(addresses) == 0 {
		addresses = []string{"127.0.0.1:22"}
	}
	return addresses
}

// loopbackFor is the address to ask a listener at, the loopback for one that
// listens everywhere.
func loopbackFor(host string) string {
	switch host {
	case "", "0.0.0.0", "*":
		return "127.0.0.1"
	case "::":
		return "::1"
	}
	return host
}

// awaitSSH waits until every address answers again.
func (h *helper) awaitSSH(ctx context.Context, addresses []string) error {
	until := h.Clock.Boot() + bannerWait
	for {
		silent := ""
		for _, a := range addresses {
			if !h.answersSSH(ctx, a) {
				silent = a
				break
			}
		}
		if silent == "" {
			return nil
		}
		if h.Clock.Boot() >= until {
			return fmt.Errorf("sshd sends no banner on %s", silent)
		}
		if err := h.Clock.Sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// readBanner connects and reads one line.
func readBanner(ctx context.Context, address string) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetReadDeadline(deadline); err != nil {
			return "", err
		}
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}
