package remote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentTimeout bounds listing the agent's keys. Signing gets AuthTimeout.
const agentTimeout = 5 * time.Second

// Key is a private key that can sign: from a file, or held by the SSH agent.
type Key struct {
	ssh.Signer
	Name  string // file, or the agent's comment
	Agent bool   // the agent signs; the private part is not here
}

// AuthorizedKey is the public part as "ssh-ed25519 AAAA…".
func (k Key) AuthorizedKey() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.PublicKey())))
}

// Label names the key in a message: fingerprint and origin.
func (k Key) Label() string {
	name := k.Name
	if k.Agent {
		name = "agent: " + name
	}
	return fmt.Sprintf("%s (%s)", ssh.FingerprintSHA256(k.PublicKey()), name)
}

// Signers are the keys of the files, each from the SSH agent where it holds
// it, then the agent's other keys. It fails with ErrNoKey, and with the reason
// for each file, where there is none at all.
func Signers(ctx context.Context, keyFiles []string) ([]Key, error) {
	keys, problems := loadKeys(ctx, keyFiles, Options{})
	if len(keys) == 0 {
		if len(problems) > 0 {
			return nil, fmt.Errorf("%w: %s", ErrNoKey, strings.Join(problems, "; "))
		}
		return nil, fmt.Errorf("%w: the SSH agent is not running or empty, and no key file is named", ErrNoKey)
	}
	return keys, nil
}

// loadKeys collects usable keys in the order in which they are offered. Named
// files come first: sshd hangs up after six wrong keys, and an agent may hold
// more. problems are files that exist but cannot be used.
func loadKeys(ctx context.Context, files []string, o Options) (keys []Key, problems []string) {
	held, err := agentKeys(ctx, o)
	if err != nil {
		problems = append(problems, err.Error())
	}
	used := map[string]bool{}
	add := func(k Key) {
		fp := ssh.FingerprintSHA256(k.PublicKey())
		if !used[fp] {
			used[fp] = true
			keys = append(keys, k)
		}
	}
	for _, file := range files {
		file = expandHome(file)
		key, public, err := readKey(file)
		if public != nil {
			if k, ok := findKey(held, public); ok {
				add(k)
				continue
			}
		}
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		add(key)
	}
	for _, k := range held {
		add(k)
	}
	return keys, problems
}

// readKey reads a private key file. public is known for an encrypted one, too
// (from the file itself or the .pub beside it), so that the agent can serve it.
func readKey(file string) (key Key, public ssh.PublicKey, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		public = readPublic(file + ".pub")
		if errors.Is(err, fs.ErrNotExist) {
			return Key{}, public, fmt.Errorf("key file %s does not exist", file)
		}
		return Key{}, public, fmt.Errorf("read key file: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		if public = locked.PublicKey; public == nil {
			public = readPublic(file + ".pub")
		}
		return Key{}, public, fmt.Errorf("key file %s is encrypted: add it to the SSH agent with: ssh-add %s", file, file)
	}
	if err != nil {
		if public = readPublic(file); public != nil {
			return Key{}, public, fmt.Errorf("%s is a public key that the SSH agent does not hold", file)
		}
		return Key{}, readPublic(file + ".pub"), fmt.Errorf("parse key file %s: %w", file, err)
	}
	return Key{Signer: signer, Name: file}, signer.PublicKey(), nil
}

func readPublic(file string) ssh.PublicKey {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil
	}
	return key
}

func findKey(keys []Key, public ssh.PublicKey) (Key, bool) {
	fp := ssh.FingerprintSHA256(public)
	for _, k := range keys {
		if ssh.FingerprintSHA256(k.PublicKey()) == fp {
			return k, true
		}
	}
	return Key{}, false
}

// agentKeys lists the agent's keys; no agent is no error.
func agentKeys(ctx context.Context, o Options) ([]Key, error) {
	socket := o.AgentSocket
	if socket == "" {
		socket = os.Getenv("SSH_AUTH_SOCK")
	}
	if socket == "" || socket == "none" {
		return nil, nil
	}
	conn, err := dialAgent(ctx, socket, agentTimeout)
	if err != nil {
		return nil, fmt.Errorf("SSH agent at %s does not answer: %w", socket, err)
	}
	defer conn.Close()
	list, err := agent.NewClient(conn).List()
	if err != nil {
		return nil, fmt.Errorf("list keys of the SSH agent at %s: %w", socket, err)
	}
	var keys []Key
	for _, k := range list {
		public, err := ssh.ParsePublicKey(k.Blob)
		if err != nil {
			continue // a type that this library does not know, such as a certificate of the future
		}
		keys = append(keys, Key{Signer: &agentSigner{socket: socket, public: public}, Name: k.Comment, Agent: true})
	}
	return keys, nil
}

func dialAgent(ctx context.Context, socket string, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout}
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func expandHome(file string) string {
	rest, ok := strings.CutPrefix(file, "~/")
	if !ok {
		return file
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return file
	}
	return filepath.Join(home, rest)
}

// authLog remembers which keys the host was offered.
type authLog struct {
	mu   sync.Mutex // guards keys
	keys []Key
}

func (l *authLog) method(keys []Key) ssh.AuthMethod {
	return ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.keys = keys
		signers := make([]ssh.Signer, len(keys))
		for i, k := range keys {
			signers[i] = k.Signer
		}
		return signers, nil
	})
}

func (l *authLog) offered() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var labels []string
	for _, k := range l.keys {
		labels = append(labels, k.Label())
	}
	return labels
}
