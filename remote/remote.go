// Package remote is a host that we can reach over SSH: dial it with a pinned
// key, run commands, stream their output, bridge nix to it. It is the one door
// to golang.org/x/crypto/ssh (package trust uses its key types only).
package remote

import (
	"context"
	"io"
	"time"
)

// Target says where a host is and who it has to be.
type Target struct {
	Name     string // host name of the spec, for messages
	Address  string // IP literal or name
	Port     int
	User     string
	HostKey  string   // "ssh-ed25519 AAAA…", pinned; empty is refused
	KeyFiles []string // private keys, tried before the SSH agent's other keys
	Jump     string   // user@host:port, comma for more hops, verified against known_hosts; "none" = never
	NoConfig bool     // do not ask `ssh -G` (lab and tests)
}

// Options are the surroundings of a connection; the zero value is what a
// person at a terminal has.
type Options struct {
	// AgentSocket is the SSH agent's socket: "" = $SSH_AUTH_SOCK, "none" = no agent.
	AgentSocket string
	// KnownHosts are the files that verify jump hosts, nil = the usual two.
	KnownHosts []string
	// SocketDir holds the folders of bridge sockets, "" = the system's
	// temporary folder. A socket's path has to stay below 108 bytes.
	SocketDir string
	// Timeout bounds TCP and key exchange each, 0 = DialTimeout.
	Timeout time.Duration
	// KeepAlive is the time between keep-alives, 0 = KeepAliveEvery.
	KeepAlive time.Duration
	// BridgeGrace is how long a bridged session may go on after its input
	// ended, 0 = the constant of this name.
	BridgeGrace time.Duration
}

// Command is one remote execution. Line goes to the login shell of the user
// as sshd hands it over, so callers quote with Quote.
type Command struct {
	Line   string
	Stdin  io.Reader
	Stdout io.Writer // nil = discarded
	Stderr io.Writer // nil = discarded
}

// Host is a connected host. *Conn implements it; tests use internal/testkit.
type Host interface {
	// Run runs the command to its end and returns its exit status. err is
	// non-nil only where the status is unknown (connection lost: ErrLost,
	// deadline, no session).
	Run(ctx context.Context, c Command) (status int, err error)
	// Bridge serves a Unix socket: each connection to it becomes one session
	// that runs line, until ctx ends. It returns the socket's path.
	Bridge(ctx context.Context, line string) (socket string, err error)
	// Close ends the connection and everything on it.
	Close() error
}

// Timeouts of a connection.
const (
	DialTimeout      = 10 * time.Second // TCP and key exchange each
	KeepAliveEvery   = 15 * time.Second
	KeepAliveMissing = 3 // unanswered keep-alives after which the connection is lost
	// AuthTimeout bounds the authentication, once the host has proved who it
	// is: a hardware key waits for a finger.
	AuthTimeout = 60 * time.Second
	// BridgeGrace is how long a bridged session may go on after its input
	// ended. A nix-daemon that survives its client holds the path's lock for
	// ever, so it is killed then.
	BridgeGrace = time.Second
	// closeGrace bounds the wait of Close for what runs on the connection.
	closeGrace = 3 * time.Second
)
