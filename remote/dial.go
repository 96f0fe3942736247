package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Dial connects to a target and logs in. The host has to prove that it holds
// the pinned key (HostKeyError), then accept one of the keys (AuthError); a
// host that cannot be reached is a DialError. One that takes the connection but ends
// no key exchange in time is asked once more. ctx bounds the dialling only:
// the connection lives until Close.
func Dial(ctx context.Context, t Target, o Options) (*Conn, error) {
	pin, err := parsePin(t)
	if err != nil {
		return nil, err
	}
	t, err = t.resolved(ctx)
	if err != nil {
		return nil, err
	}
	keys, problems := loadKeys(ctx, t.KeyFiles, o)
	if len(keys) == 0 {
		return nil, &AuthError{Host: t.Name, Address: t.addr(), User: t.User, Problems: problems, Err: ErrNoKey}
	}
	var auth authLog
	config := &ssh.ClientConfig{
		User:              t.User,
		Auth:              []ssh.AuthMethod{auth.method(keys)},
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
		ClientVersion:     "SSH-2.0-nixmesh",
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if ssh.FingerprintSHA256(key) == ssh.FingerprintSHA256(pin) {
				return nil
			}
			return &HostKeyError{Host: t.Name, Address: t.addr(), Want: ssh.FingerprintSHA256(pin), Got: ssh.FingerprintSHA256(key)}
		},
	}
	client, undo, err := t.connect(ctx, o, config, &auth)
	var late errTimeout
	if errors.As(err, &late) && late.stage == stageKeys { // it is on, and may only have been busy
		client, undo, err = t.connect(ctx, o, config, &auth)
	}
	if err != nil {
		var denied *AuthError
		if errors.As(err, &denied) {
			denied.Problems = problems
		}
		return nil, err
	}
	return newConn(t, o, client, undo), nil
}

// connect reaches the target and logs in. undo closes the jump connections.
func (t Target) connect(ctx context.Context, o Options, config *ssh.ClientConfig, auth *authLog) (client *ssh.Client, undo func(), err error) {
	raw, undo, err := t.reach(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	client, err = handshake(ctx, raw, t, o, config, auth)
	if err != nil {
		undo()
	}
	return client, undo, err
}

// handshake speaks SSH over a connection within the target's deadlines. On
// failure raw is closed. auth may be nil when no login is meant.
func handshake(ctx context.Context, raw net.Conn, t Target, o Options, config *ssh.ClientConfig, auth *authLog) (*ssh.Client, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// x/crypto's Timeout covers TCP only, and a channel of a jump host knows
	// no deadlines: closing the connection is what ends a handshake.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	var verified atomic.Bool
	timer := time.AfterFunc(o.timeout(), func() {
		if verified.Load() {
			cancel(errTimeout{"log in", AuthTimeout})
		} else {
			cancel(errTimeout{stageKeys, o.timeout()})
		}
	})
	defer timer.Stop()
	verify, own := config.HostKeyCallback, *config
	own.HostKeyCallback = func(name string, addr net.Addr, key ssh.PublicKey) error {
		if err := verify(name, addr, key); err != nil {
			return err
		}
		verified.Store(true)
		timer.Reset(AuthTimeout)
		return nil
	}
	c, chans, reqs, err := ssh.NewClientConn(raw, t.addr(), &own)
	if !stop() && err == nil {
		_ = c.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		raw.Close()
		return nil, explainHandshake(ctx, t, err, auth)
	}
	return ssh.NewClient(c, chans, reqs), nil
}

// stageKeys is the stage before the host has proved who it is.
const stageKeys = "key exchange"

// errTimeout is a stage that took too long.
type errTimeout struct {
	stage string
	after time.Duration
}

func (e errTimeout) Error() string { return fmt.Sprintf("no answer in %s", e.after) }

func (e errTimeout) Timeout() bool { return true }

// reach opens a byte stream to the target, through its jump hosts if it has
// any. undo closes the jump connections.
func (t Target) reach(ctx context.Context, o Options) (raw net.Conn, undo func(), err error) {
	if t.Jump != "" && t.Jump != "none" {
		return dialJump(ctx, t, o)
	}
	raw, err = dialTCP(ctx, t.addr(), o.timeout())
	if err != nil {
		return nil, nil, explainTCP(ctx, t, err)
	}
	return raw, func() {}, nil
}

// dialTCP connects within the timeout and lets the kernel give up on unsent
// bytes after the time in which keep-alives would.
func dialTCP(ctx context.Context, addr string, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout, KeepAlive: KeepAliveEvery, Control: setUserTimeout}
	return d.DialContext(ctx, "tcp", addr)
}

func (o Options) timeout() time.Duration {
	if o.Timeout > 0 {
		return o.Timeout
	}
	return DialTimeout
}

// addr is where the target listens.
func (t Target) addr() string {
	port := t.Port
	if port == 0 {
		port = 22
	}
	return net.JoinHostPort(t.Address, strconv.Itoa(port))
}
