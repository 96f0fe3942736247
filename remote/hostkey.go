package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Fingerprint is the SHA-256 fingerprint of an authorized_keys or known_hosts
// style key ("ssh-ed25519 AAAA… comment"), as ssh-keygen -l prints it.
func Fingerprint(line string) (string, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return "", fmt.Errorf("parse SSH key %q: %w", shorten(line, 40), err)
	}
	return ssh.FingerprintSHA256(key), nil
}

// parsePin reads a pinned host key. Only ed25519 is accepted: it is the one
// key that nixmesh pins, compares and later derives secrets' recipients from.
func parsePin(t Target) (ssh.PublicKey, error) {
	if strings.TrimSpace(t.HostKey) == "" {
		return nil, &DialError{Host: t.Name, Address: t.addr(), Stage: "verify", What: ErrNoPin.Error(),
			Hint: "pin its key first: nixmesh host trust " + t.Name, Err: ErrNoPin}
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(t.HostKey))
	if err != nil {
		return nil, fmt.Errorf("parse pinned host key of %s: %w", t.Name, err)
	}
	if key.Type() != ssh.KeyAlgoED25519 {
		return nil, fmt.Errorf("pinned host key of %s is %s: only ssh-ed25519 is used", t.Name, key.Type())
	}
	return key, nil
}

// errScanned ends a key exchange whose only aim was the host's key.
var errScanned = errors.New("host key read")

// ScanHostKey reads the ed25519 host key of a target without logging in, as
// "ssh-ed25519 AAAA…". Nothing is verified: the caller shows the fingerprint
// to a person or compares it with one given. t.HostKey is ignored.
func ScanHostKey(ctx context.Context, t Target, o Options) (string, error) {
	t, err := t.resolved(ctx)
	if err != nil {
		return "", err
	}
	var line string
	config := &ssh.ClientConfig{
		User:              "nixmesh",
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			line = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
			return errScanned
		},
	}
	raw, undo, err := t.reach(ctx, o)
	if err != nil {
		return "", err
	}
	defer undo()
	client, err := handshake(ctx, raw, t, o, config, nil)
	if line != "" {
		return line, nil
	}
	if err == nil {
		_ = client.Close()
		return "", fmt.Errorf("read host key of %s: the host showed none", t.Name)
	}
	return "", err
}

// shorten cuts a text for a message.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
