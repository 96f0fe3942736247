package remote

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of a connection.
var (
	// ErrLost is the end of a connection (or of sshd's session) before the
	// command's exit status arrived: whether the command ran is unknown.
	ErrLost = errors.New("connection lost")
	// ErrNoPin is a target without a pinned host key.
	ErrNoPin = errors.New("no pinned host key")
	// ErrNoKey is a login without any usable private key.
	ErrNoKey = errors.New("no usable SSH key")
)

// DialError is why a host cannot be reached, in words for people.
type DialError struct {
	Host    string // name of the spec
	Address string // host:port that was tried
	Stage   string // "connect", "key exchange", "log in", "jump"
	What    string // "connection refused", "no answer in 10 s"
	Hint    string // what to do next
	Err     error
}

func (e *DialError) Error() string {
	return fmt.Sprintf("%s %s (%s): %s", e.Stage, e.Host, e.Address, e.What)
}

func (e *DialError) Unwrap() error { return e.Err }

// Next is what to do now.
func (e *DialError) Next() string { return e.Hint }

// HostKeyError is a host that proved to be somebody else than the pinned one.
type HostKeyError struct {
	Host    string
	Address string
	Want    string // fingerprint of the pinned key
	Got     string // fingerprint of the key that the host showed
	Jump    bool   // a jump host: known_hosts decides, not nixmesh.lock
}

func (e *HostKeyError) Error() string {
	pin := "is pinned"
	if e.Jump {
		pin = "is in known_hosts"
	}
	return fmt.Sprintf("host key of %s (%s) is %s, but %s %s", e.Host, e.Address, e.Got, e.Want, pin)
}

// Next is what to do now.
func (e *HostKeyError) Next() string {
	if e.Jump {
		return fmt.Sprintf("if %s was reinstalled, remove the old key with: ssh-keygen -R %s", e.Host, e.Host)
	}
	return fmt.Sprintf("if the host was reinstalled or its key replaced, compare on its console "+
		"(ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub) and run: nixmesh host trust %s --fingerprint %s; "+
		"if not, something else answers at %s", e.Host, e.Got, e.Address)
}

// AuthError is a host that accepted none of the keys.
type AuthError struct {
	Host     string
	Address  string
	User     string
	Offered  []string // "SHA256:… (file or comment)"
	Problems []string // keys that could not be used, and why
	Err      error
}

func (e *AuthError) Error() string {
	s := fmt.Sprintf("log in to %s (%s) as %s: ", e.Host, e.Address, e.User)
	if len(e.Offered) == 0 {
		s += "no key to offer"
	} else {
		s += "the host accepted none of the keys offered: " + strings.Join(e.Offered, ", ")
	}
	if len(e.Problems) > 0 {
		s += " (not offered: " + strings.Join(e.Problems, "; ") + ")"
	}
	return s
}

func (e *AuthError) Unwrap() error { return e.Err }

// Next is what to do now.
func (e *AuthError) Next() string {
	if len(e.Offered) == 0 {
		return "start an SSH agent and add your key (ssh-add), or name a key file in the ssh block"
	}
	return fmt.Sprintf("the key has to be in an operator block of the release that %s runs; "+
		"a host without nixmesh is first reached with: nixmesh deploy --first %s --as root", e.Host, e.Host)
}
