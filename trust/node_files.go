package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"
)

// Files of a host's node identity, in one folder. Only root reads the key; the
// agent is given both by its unit.
const (
	NodeKeyFile  = "node.key"
	NodeCertFile = "node.cert"
)

// EnsureNode is what the host's root does before its agent starts: it makes the
// node key where there is none, and certifies it with the SSH host key (the
// content of its file) where the certificate is missing or fits no more: to the
// node key, to the host's name, or to the host key. A file that cannot be
// understood is kept aside as NAME.corrupt. made says whether anything is new.
func EnsureNode(dir, host string, hostKeyFile []byte, now time.Time) (c NodeCert, made bool, err error) {
	signer, err := ssh.ParsePrivateKey(hostKeyFile)
	if err != nil {
		return NodeCert{}, false, errors.New("make node identity: the SSH host key cannot be read")
	}
	key, made, err := ensureNodeKey(filepath.Join(dir, NodeKeyFile))
	if err != nil {
		return NodeCert{}, false, fmt.Errorf("make node identity: %w", err)
	}
	file := filepath.Join(dir, NodeCertFile)
	var before *NodeCert
	if err := readOrSetAside(file, func(text []byte) error {
		c, err = ParseNodeCert(text)
		if err == nil {
			before = &c
		}
		return err
	}); err != nil {
		return NodeCert{}, false, fmt.Errorf("make node identity: %w", err)
	}
	if before != nil && c.Key == key.Public() && c.Verify(host, AuthorizedKey(signer.PublicKey(), "")) == nil {
		return c, made, nil
	}
	if c, err = NewNodeCert(signer, host, key.Public(), before, now); err != nil {
		return NodeCert{}, false, err
	}
	if err := replaceFile(file, c.Text(), 0o644); err != nil {
		return NodeCert{}, false, fmt.Errorf("make node identity: %w", err)
	}
	return c, true, nil
}

func ensureNodeKey(file string) (key NodeKey, made bool, err error) {
	found := false
	err = readOrSetAside(file, func(text []byte) error {
		var err error
		key, err = ParseNodeKey(text)
		found = err == nil
		return err
	})
	if err != nil || found {
		return key, false, err
	}
	if key, err = GenerateNodeKey(); err != nil {
		return NodeKey{}, false, err
	}
	secret, err := key.Secret()
	if err != nil {
		return NodeKey{}, false, err
	}
	return key, true, replaceFile(file, secret, 0o600)
}

// readOrSetAside reads a file if there is one, and renames it to NAME.corrupt
// where it cannot be understood.
func readOrSetAside(file string, parse func(text []byte) error) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if parse(text) != nil {
		return os.Rename(file, file+".corrupt")
	}
	return nil
}

// replaceFile writes a file whole or not at all.
func replaceFile(file string, content []byte, mode fs.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Chmod(mode)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
