package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nixmesh/nixmesh/compile"
	"github.com/nixmesh/nixmesh/controlplane/gossip"
	"github.com/nixmesh/nixmesh/spec"
	"github.com/nixmesh/nixmesh/trust"
)

// Files of a lab's own CA in .nixmesh/lab, both in the clear.
const (
	labRootFile   = "ca-root.pem" // the root's key and certificate
	labGossipFile = "gossip.key"
)

// labCA is what a lab has in place of the fleet's CA: it never touches
// nixmesh.lock. The authorities are the lock's; without any, those that
// `nixmesh ca init` would propose.
func (f *fleet) labCA() (*compile.CA, error) {
	root, err := f.labRoot()
	if err != nil {
		return nil, err
	}
	bundle, err := trust.NewBundle(root.Domain, root.Certificate)
	if err != nil {
		return nil, fmt.Errorf("read the lab's CA: %w", err)
	}
	ca := &compile.CA{Roots: string(bundle.PEM()), Gossip: spec.GossipFile, Fingerprint: root.Fingerprint(), Authorities: f.lock.Authorities()}
	if len(ca.Authorities) == 0 {
		ca.Authorities = spec.ProposeAuthorities(f.spec)
	}
	return ca, nil
}

// labRoot is the root of the lab's CA with its key.
func (f *fleet) labRoot() (trust.Root, error) {
	return labRoot(f.state("lab"), f.spec.Name, f.now())
}

// labRoot reads the root in a lab's folder, and makes it the first time. A
// fleet that was given another name has another CA, as certificates hold it.
func labRoot(dir, fleet string, now time.Time) (trust.Root, error) {
	file := filepath.Join(dir, labRootFile)
	for again := false; ; again = true {
		text, err := kept(file, func() ([]byte, error) {
			root, err := trust.NewRoot(fleet, now)
			if err != nil {
				return nil, err
			}
			return root.Secret()
		})
		if err != nil {
			return trust.Root{}, fmt.Errorf("make the lab's CA: %w", err)
		}
		root, err := trust.ParseRoot(text)
		if err != nil {
			return trust.Root{}, fmt.Errorf("read the lab's CA: %s: %w\nNext: delete the file; another one is made", file, err)
		}
		if root.Domain.Fleet() == fleet || again {
			return root, nil
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return trust.Root{}, fmt.Errorf("make the lab's CA: %w", err)
		}
	}
}

// labGossip is the age file of the lab's gossip key, for all of its hosts.
func (f *fleet) labGossip(hostKeys map[string]string) (string, error) {
	text, err := kept(f.state("lab", labGossipFile), func() ([]byte, error) { return gossip.NewKeyText(), nil })
	if err != nil {
		return "", fmt.Errorf("make the lab's gossip key: %w", err)
	}
	var to []string
	for _, h := range f.spec.Hosts {
		if key, ok := hostKeys[h.Name]; ok {
			to = append(to, key)
		}
	}
	sealed, err := labSecret(f.state("lab", "secrets", filepath.FromSlash(spec.GossipFile)), string(text), to)
	if err != nil {
		return "", fmt.Errorf("make %s for the lab: %w", spec.GossipFile, err)
	}
	return sealed, nil
}

// kept reads a file of the lab, for its owner alone. Where it is missing it is
// made, whole: of two programs that make it at once both get the first one's.
func kept(file string, content func() ([]byte, error)) ([]byte, error) {
	text, err := os.ReadFile(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	if text, err = content(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	whole, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".") // 0600
	if err != nil {
		return nil, err
	}
	_, err = whole.Write(text)
	if err = errors.Join(err, whole.Close()); err == nil {
		err = os.Link(whole.Name(), file)
	}
	err = errors.Join(err, os.Remove(whole.Name()))
	if errors.Is(err, fs.ErrExist) {
		return os.ReadFile(file)
	}
	return text, err
}
