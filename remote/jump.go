package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// dialJump reaches a target through its jump hosts, each verified against
// known_hosts. undo closes them, last first.
func dialJump(ctx context.Context, t Target, o Options) (raw net.Conn, undo func(), err error) {
	var hops []*ssh.Client
	closeHops := func() {
		for i := len(hops) - 1; i >= 0; i-- {
			_ = hops[i].Close()
		}
	}
	defer func() {
		if err != nil {
			closeHops()
		}
	}()
	for _, spec := range strings.Split(t.Jump, ",") {
		hop, err := parseHop(ctx, spec, t)
		if err != nil {
			return nil, nil, err
		}
		under, err := dialVia(ctx, hops, hop, o)
		if err != nil {
			return nil, nil, err
		}
		client, err := loginHop(ctx, under, hop, o)
		if err != nil {
			return nil, nil, err
		}
		hops = append(hops, client)
	}
	raw, err = dialVia(ctx, hops, t, o)
	return raw, closeHops, err
}

// dialVia opens a stream to a target from the last hop, or directly.
func dialVia(ctx context.Context, hops []*ssh.Client, t Target, o Options) (net.Conn, error) {
	if len(hops) == 0 {
		raw, err := dialTCP(ctx, t.addr(), o.timeout())
		if err != nil {
			return nil, explainTCP(ctx, t, err)
		}
		return raw, nil
	}
	limited, cancel := context.WithTimeoutCause(ctx, o.timeout(), errTimeout{"connect", o.timeout()})
	defer cancel()
	raw, err := hops[len(hops)-1].DialContext(limited, "tcp", t.addr())
	if err == nil {
		return raw, nil
	}
	e := &DialError{Host: t.Name, Address: t.addr(), Stage: "connect from the jump host to", What: err.Error(), Err: err}
	var refused *ssh.OpenChannelError
	switch {
	case ctx.Err() != nil:
		e.Err = context.Cause(ctx)
		e.What = e.Err.Error()
	case limited.Err() != nil:
		e.What = "no answer"
		e.Hint = "is the machine on, and does the jump host reach its network?"
	case errors.As(err, &refused) && refused.Reason == ssh.Prohibited:
		e.What = "the jump host does not forward connections"
		e.Hint = "allow it there: AllowTcpForwarding yes (sshd_config)"
	case errors.As(err, &refused):
		e.What = "the jump host could not connect: " + refused.Message
	}
	return nil, e
}

// loginHop speaks SSH with a jump host that known_hosts has to know.
func loginHop(ctx context.Context, raw net.Conn, hop Target, o Options) (*ssh.Client, error) {
	files := o.KnownHosts
	if files == nil {
		files = defaultKnownHosts()
	}
	db, err := openKnownHosts(files)
	if err != nil {
		raw.Close()
		return nil, err
	}
	keys, problems := loadKeys(ctx, hop.KeyFiles, o)
	if len(keys) == 0 {
		raw.Close()
		return nil, &AuthError{Host: hop.Name, Address: hop.addr(), User: hop.User, Problems: problems, Err: ErrNoKey}
	}
	var auth authLog
	return handshake(ctx, raw, hop, o, &ssh.ClientConfig{
		User:              hop.User,
		Auth:              []ssh.AuthMethod{auth.method(keys)},
		ClientVersion:     "SSH-2.0-nixmesh",
		HostKeyAlgorithms: db.HostKeyAlgorithms(hop.addr()),
		HostKeyCallback: func(_ string, remote net.Addr, key ssh.PublicKey) error {
			return explainKnownHost(db.HostKeyCallback()(hop.addr(), remote, key), hop, key)
		},
	}, &auth)
}

func openKnownHosts(files []string) (*knownhosts.HostKeyDB, error) {
	var there []string
	for _, f := range files {
		if _, err := os.Stat(f); err == nil {
			there = append(there, f)
		}
	}
	db, err := knownhosts.NewDB(there...)
	if err != nil {
		return nil, fmt.Errorf("read known_hosts: %w", err)
	}
	return db, nil
}

func explainKnownHost(err error, hop Target, key ssh.PublicKey) error {
	if err == nil {
		return nil
	}
	got := ssh.FingerprintSHA256(key)
	var changed *xknownhosts.KeyError
	if knownhosts.IsHostKeyChanged(err) && errors.As(err, &changed) {
		return &HostKeyError{Host: hop.Name, Address: hop.addr(), Want: ssh.FingerprintSHA256(changed.Want[0].Key), Got: got, Jump: true}
	}
	if knownhosts.IsHostUnknown(err) {
		return &DialError{Host: hop.Name, Address: hop.addr(), Stage: "verify jump host",
			What: "known_hosts has no key for it (it shows " + got + ")",
			Hint: "connect once with: ssh -p " + strconv.Itoa(hop.Port) + " " + hop.User + "@" + hop.Address, Err: err}
	}
	return err
}

// parseHop reads [user@]host[:port] or ssh://…, fills it from OpenSSH's
// configuration, and takes keys and user of the target where that says none.
func parseHop(ctx context.Context, spec string, t Target) (Target, error) {
	spec = strings.TrimSpace(spec)
	u, err := url.Parse("ssh://" + strings.TrimPrefix(spec, "ssh://"))
	if err != nil || u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-") {
		return Target{}, fmt.Errorf("jump host %q of %s is not of the form user@host:port", spec, t.Name)
	}
	hop := Target{Name: u.Hostname(), User: u.User.Username(), NoConfig: t.NoConfig, Jump: "none"}
	hop.Port, _ = strconv.Atoi(u.Port())
	if !t.NoConfig {
		if c, err := askConfig(ctx, hop.Name); err == nil {
			hop = hop.withConfig(c)
		}
	}
	if len(hop.KeyFiles) == 0 {
		hop.KeyFiles = t.KeyFiles
	}
	return hop.resolved(ctx)
}
