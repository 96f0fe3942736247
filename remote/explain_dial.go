package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// explainTCP says why no TCP connection came about.
func explainTCP(ctx context.Context, t Target, err error) error {
	e := &DialError{Host: t.Name, Address: t.addr(), Stage: "connect to", What: err.Error(), Err: err}
	var dns *net.DNSError
	switch {
	case ctx.Err() != nil:
		e.Err = context.Cause(ctx)
		e.What = e.Err.Error()
	case errors.As(err, &dns):
		e.What = fmt.Sprintf("name %q is not known", dns.Name)
		e.Hint = "check the address in the host block"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.What = "connection refused"
		e.Hint = "the machine is up but nothing listens there: is sshd running, and is the port right?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		e.What = "no route to the host"
		e.Hint = "is the machine on, and is this one in its network (VPN, jump host)?"
	case errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		e.What = "no answer"
		e.Hint = "is the machine on, and does a firewall drop the port?"
	}
	return e
}

// explainHandshake says why SSH did not come about over a connection.
func explainHandshake(ctx context.Context, t Target, err error, auth *authLog) error {
	var key *HostKeyError
	if errors.As(err, &key) {
		return key
	}
	e := &DialError{Host: t.Name, Address: t.addr(), Stage: "speak SSH with", What: err.Error(), Err: err}
	var late errTimeout
	var algorithms *ssh.AlgorithmNegotiationError
	switch {
	case errors.As(context.Cause(ctx), &late):
		e.Err = late
		e.What = late.Error() + " during " + late.stage
		e.Hint = "the port is open but sshd does not answer: the machine may be overloaded or hung"
		if late.stage == "log in" {
			e.Hint = "a hardware key waits for a touch, or sshd waits for something (DNS, PAM)"
		}
	case ctx.Err() != nil:
		e.Err = context.Cause(ctx)
		e.What = e.Err.Error()
	case errors.As(err, &algorithms) && strings.Contains(err.Error(), "host key"):
		e.What = "the host has no ed25519 host key"
		e.Hint = "nixmesh pins ed25519 keys only; on the host run: ssh-keygen -A, and restart sshd"
	case auth != nil && strings.Contains(err.Error(), "unable to authenticate"):
		return &AuthError{Host: t.Name, Address: t.addr(), User: t.User, Offered: auth.offered(), Err: err}
	case auth != nil && strings.Contains(err.Error(), "too many authentication failures"):
		return &AuthError{Host: t.Name, Address: t.addr(), User: t.User, Offered: auth.offered(), Err: err}
	case strings.Contains(err.Error(), "EOF"), errors.Is(err, syscall.ECONNRESET):
		e.What = "the connection was closed during the handshake"
		e.Hint = "is it an SSH port? sshd closes early when it is overloaded (MaxStartups) or blocks this address"
	}
	return e
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
