package lab

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Files of the operator `lab` in the state folder. Each private key has its
// public part beside it, with the suffix .pub.
const (
	operatorKey = "id_ed25519" // logs in
	nixKey      = "nix.key"    // signs store paths
	nixKeyName  = "lab-1"
)

// Operator is the lab's one operator, who replaces those of the spec.
type Operator struct {
	SSH        string // authorized_keys line
	SSHKeyFile string // its private key
	Nix        string // public key, name:base64
	NixKeyFile string // its private key
}

// Operator reads the operator's keys; ErrNotRunning means that no `lab up`
// made any yet.
func (l *Lab) Operator() (Operator, error) {
	ssh, err := os.ReadFile(l.path(operatorKey + ".pub"))
	if err == nil {
		var nix []byte
		if nix, err = os.ReadFile(l.path(nixKey + ".pub")); err == nil {
			return Operator{
				SSH: strings.TrimSpace(string(ssh)), SSHKeyFile: l.path(operatorKey),
				Nix: strings.TrimSpace(string(nix)), NixKeyFile: l.path(nixKey),
			}, nil
		}
	}
	if errors.Is(err, os.ErrNotExist) {
		return Operator{}, fmt.Errorf("read the lab's keys: %w; nixmesh lab up makes them", ErrNotRunning)
	}
	return Operator{}, fmt.Errorf("read the lab's keys: %w", err)
}

// HostKeys are the public host keys by host, as "ssh-ed25519 AAAA…".
func (l *Lab) HostKeys() (map[string]string, error) {
	paths, err := filepath.Glob(l.path("hostkeys", "*.pub"))
	if err != nil {
		return nil, fmt.Errorf("read host keys: %w", err)
	}
	keys := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read host keys: %w", err)
		}
		if w := strings.Fields(string(text)); len(w) >= 2 {
			keys[strings.TrimSuffix(filepath.Base(path), ".pub")] = w[0] + " " + w[1]
		}
	}
	return keys, nil
}

func (l *Lab) hostKeyPath(host string) string { return l.path("hostkeys", host) }

// makeKeys makes the keys that are missing and a known_hosts of all hosts.
// Keys outlive the lab: they are the same after down and up.
func (l *Lab) makeKeys() error {
	if err := os.MkdirAll(l.path("hostkeys"), 0o700); err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	if err := l.makeSSHKey(l.path(operatorKey), "lab"); err != nil {
		return err
	}
	for _, h := range l.hosts {
		if err := l.makeSSHKey(l.hostKeyPath(h.Name), h.Name); err != nil {
			return err
		}
	}
	if err := l.makeNixKey(); err != nil {
		return fmt.Errorf("make nix key: %w", err)
	}
	keys, err := l.HostKeys()
	if err != nil {
		return err
	}
	var known strings.Builder
	for _, h := range l.hosts {
		fmt.Fprintf(&known, "%s,%s %s\n", h.Name, h.Address, keys[h.Name])
	}
	if err := os.WriteFile(l.path("known_hosts"), []byte(known.String()), 0o600); err != nil {
		return fmt.Errorf("write known_hosts: %w", err)
	}
	return nil
}

// makeSSHKey makes an ed25519 key pair, unless there is one.
func (l *Lab) makeSSHKey(path, comment string) error {
	if _, err := os.Stat(path + ".pub"); err == nil { // written last
		return nil
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("make ssh key: %w", err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make ssh key: %w", err)
	}
	if err := os.WriteFile(path, openSSHPrivate(private, comment), 0o600); err != nil {
		return fmt.Errorf("make ssh key: %w", err)
	}
	line := sshKeyType + " " + base64.StdEncoding.EncodeToString(sshPublic(public)) + " " + comment + "\n"
	if err := os.WriteFile(path+".pub", []byte(line), 0o644); err != nil {
		return fmt.Errorf("make ssh key: %w", err)
	}
	return nil
}

// makeNixKey makes a signing key in Nix's format, unless there is one: a name
// and the base64 of the 64 bytes that libsodium calls a secret key.
func (l *Lab) makeNixKey() error {
	if _, err := os.Stat(l.path(nixKey + ".pub")); err == nil {
		return nil
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	line := func(key []byte) []byte { return []byte(nixKeyName + ":" + base64.StdEncoding.EncodeToString(key)) }
	if err := os.WriteFile(l.path(nixKey), line(private), 0o600); err != nil {
		return err
	}
	return os.WriteFile(l.path(nixKey+".pub"), line(public), 0o644)
}
