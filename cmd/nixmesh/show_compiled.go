package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nixmesh/nixmesh/compile"
	"github.com/nixmesh/nixmesh/spec"
)

// runShowNix prints the module of one host, or of all.
func runShowNix(a *app, args []string) error {
	if len(args) == 2 && args[0] != "host" {
		return usageErrorf("--nix is of a host, or of all: nixmesh show host NAME --nix")
	}
	l, lock, err := a.loadAllocated()
	if err != nil {
		return err
	}
	ca, err := a.shownCA(l, lock)
	if err != nil {
		return err
	}
	out, err := compile.Compile(l.Fleet, lock, compile.Options{NixmeshVersion: version, Lab: a.lab, CA: ca, LabAnswers: labAnswers(l.Fleet)})
	if err != nil {
		return err
	}
	found := false
	for _, h := range out.Hosts {
		if len(args) == 2 && h.Name != args[1] {
			continue
		}
		if found {
			fmt.Fprintln(a.stdout)
		}
		found = true
		if len(args) == 0 {
			fmt.Fprintf(a.stdout, "# %s\n", h.Name)
		}
		if _, err := a.stdout.Write(h.Module); err != nil {
			return fmt.Errorf("print module: %w", err)
		}
	}
	if !found {
		return (&shower{views: l.Views()}).unknown(args[1], "host")
	}
	return nil
}

// runShowMesh prints the mesh configuration: for people with line breaks, as
// JSON in the canonical form that is signed.
func runShowMesh(a *app, args []string) error {
	if len(args) > 0 {
		return usageErrorf("--mesh is of the whole fleet: nixmesh show --mesh")
	}
	l, lock, err := a.loadAllocated()
	if err != nil {
		return err
	}
	ca, err := a.shownCA(l, lock)
	if err != nil {
		return err
	}
	config, err := compile.Mesh(l.Fleet, lock, ca)
	if err != nil {
		return err
	}
	text := bytes.NewBuffer(config.Canonical())
	if !a.isJSON() {
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, text.Bytes(), "", "  "); err != nil {
			return fmt.Errorf("print mesh configuration: %w", err)
		}
		pretty.WriteByte('\n')
		text = &pretty
	}
	if _, err := a.stdout.Write(text.Bytes()); err != nil {
		return fmt.Errorf("print mesh configuration: %w", err)
	}
	return nil
}

// shownCA is the CA of what is shown. That of a lab is there once the lab was
// up; it is not made here.
func (a *app) shownCA(l *spec.Loaded, lock *spec.Lock) (*compile.CA, error) {
	f := &fleet{app: a, spec: l.Fleet, lock: lock}
	if !a.lab {
		return f.ca()
	}
	if _, err := os.Stat(f.state("lab", labRootFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f.labCA()
}

// loadAllocated is loadLocked with the numbers that nixmesh lock would give.
// Nothing is written.
func (a *app) loadAllocated() (*spec.Loaded, *spec.Lock, error) {
	l, lock, err := a.loadLocked()
	if err != nil {
		return nil, nil, err
	}
	changed, found := lock.Allocate(l.Fleet)
	if found.HasErrors() {
		a.printDiagnostics(found, withLock(l))
		return nil, nil, diagnosticsExit(found)
	}
	if changed {
		fmt.Fprintln(a.stderr, "Some numbers are not in nixmesh.lock yet; shown are those that nixmesh lock gives.")
	}
	return l, lock, nil
}
