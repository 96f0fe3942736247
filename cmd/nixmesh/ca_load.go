package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/nixmesh/nixmesh/compile"
	"github.com/nixmesh/nixmesh/deploy"
	"github.com/nixmesh/nixmesh/spec"
	"github.com/nixmesh/nixmesh/trust"
)

// ca is the CA that the fleet's hosts have their certificates from, nil where
// there is none: the one of nixmesh.lock, or the lab's own.
func (f *fleet) ca() (*compile.CA, error) {
	if f.lab != nil {
		return f.labCA()
	}
	if f.lock.CA() == "" {
		return nil, nil
	}
	text, err := os.ReadFile(f.path(spec.CAFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s names a CA, and there is no %s\nNext: take the file from version control", spec.LockFile, spec.CAFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read roots: %w", err)
	}
	roots, err := trust.ParseRoots(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w\nNext: take the file from version control", spec.CAFile, err)
	}
	if !slices.ContainsFunc(roots.Roots(), func(c *x509.Certificate) bool { return trust.Fingerprint(c) == f.lock.CA() }) {
		return nil, fmt.Errorf("%s has other roots than %s names, %s\nNext: take both files from one commit of version control", spec.CAFile, spec.LockFile, f.lock.CA())
	}
	if name := roots.Domain.Fleet(); name != f.spec.Name {
		return nil, fmt.Errorf("the CA is of fleet %q, and the spec's is called %q: certificates hold the name\nNext: give the fleet its name back", name, f.spec.Name)
	}
	return &compile.CA{Roots: string(text), Gossip: spec.GossipFile}, nil
}

// deployCA is the CA as a deploy knows it, nil without one.
func (f *fleet) deployCA() (*deploy.CA, error) {
	made, err := f.ca()
	if made == nil || err != nil {
		return nil, err
	}
	roots, err := trust.ParseRoots([]byte(made.Roots))
	if err != nil {
		return nil, err
	}
	c := &deploy.CA{Roots: roots, Authorities: made.Authorities, TTL: f.spec.CA.IntermediateTTL, Able: f.ableOperators()}
	if c.Authorities == nil {
		c.Authorities = f.lock.Authorities()
	}
	c.Open = f.rootOnce(roots, "")
	return c, nil
}

// rootOnce opens the CA's root when it is first asked, and answers the same from
// then on: nobody types a passphrase twice.
func (f *fleet) rootOnce(roots trust.Bundle, identity string) func(context.Context) (trust.Root, error) {
	open := sync.OnceValues(func() (trust.Root, error) {
		root, err := f.openRoot(identity)
		if err == nil && !slices.ContainsFunc(roots.Roots(), root.Certificate.Equal) {
			err = fmt.Errorf("%s holds %s, which is no root of the fleet", spec.CARootFile, root)
		}
		return root, err
	})
	return func(context.Context) (trust.Root, error) { return open() }
}

// ableOperators may open the CA's root.
func (f *fleet) ableOperators() []string {
	var names []string
	for _, op := range f.spec.Operators {
		if op.CA || f.lab != nil {
			names = append(names, op.Name)
		}
	}
	return names
}

// openRoot opens the CA's root with the person's key: the one that was named, or
// those that lie where keys lie.
func (f *fleet) openRoot(identity string) (trust.Root, error) {
	if f.lab != nil {
		return f.labRoot()
	}
	sealed, err := os.ReadFile(f.path(spec.CARootFile))
	if errors.Is(err, fs.ErrNotExist) {
		return trust.Root{}, fmt.Errorf("there is no %s here", spec.CARootFile)
	}
	if err != nil {
		return trust.Root{}, fmt.Errorf("read CA root: %w", err)
	}
	ids, err := f.identities(identity)
	if err != nil {
		return trust.Root{}, err
	}
	root, err := trust.OpenRoot(sealed, ids...)
	if errors.Is(err, trust.ErrOtherRecipients) {
		names := make([]string, len(ids))
		for i, id := range ids {
			names[i] = id.File
		}
		return trust.Root{}, fmt.Errorf("%s is for other keys than %s", spec.CARootFile, strings.Join(names, ", "))
	}
	return root, err
}
