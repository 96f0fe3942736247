package nix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Workspace is the generated flake of a fleet and what was built from it. All
// fields are set by the caller before the first call.
type Workspace struct {
	Dir      string // generated flake: <fleet>/.nixmesh/build
	Fleet    string // the fleet's folder
	LockFile string // the fleet's flake.lock; made where there is none
	Cache    string // <fleet>/.nixmesh/cache: content key -> toplevel
	Roots    string // <fleet>/.nixmesh/roots: garbage collection roots, "" = beside Cache
	Tool     *Tool
	// LocalInputs lets a `path:` input move under its lock: where its content
	// differs from what is locked, it is locked anew. For the lab, whose
	// nixpkgs is a folder being edited; elsewhere only Update changes a lock.
	LocalInputs bool

	hosts   []HostTree
	flake   []byte
	nixmesh NixmeshTree
	files   *allowed        // what of the fleet's folder may enter
	trees   map[string]tree // host -> files of the fleet in its tree
	whole   map[string]bool // hosts evaluated with the whole folder
}

// HostTree is one host's part of the flake.
type HostTree struct {
	Name      string
	System    string   // "x86_64-linux"
	Module    []byte   // hosts/<name>/host.nix
	KeyModule []byte   // the same without _file values: what the key covers
	Roots     []string // files and folders of the fleet that the module names
	// Replaced are files of the fleet's folder in whose place the host sees
	// another one: path below the folder -> file on disk. The lab's secrets are.
	Replaced map[string]string
}

// NixmeshTree is the folder that the flake takes by fetchTree: modules/*.nix
// and bin/nixmesh.
type NixmeshTree struct {
	Dir     string
	NarHash string // SRI
}

// Prepare brings the folder to what the compiler wrote: only files that differ
// are written, what does not belong there is removed. Each host's tree holds
// what its module names of the fleet's folder, and from there on every path
// literal that exists. A *RefusedError is a file, or a text of a module, that
// must not enter the world-readable store (NM0006).
func (w *Workspace) Prepare(ctx context.Context, flake []byte, hosts []HostTree, nixmesh NixmeshTree) error {
	files, err := listAllowed(ctx, w.Fleet)
	if err != nil {
		return err
	}
	w.files, w.flake, w.hosts, w.nixmesh = files, flake, hosts, nixmesh
	w.trees, w.whole = map[string]tree{}, map[string]bool{}
	want := newFolder(w.Dir)
	want.text("flake.nix", flake)
	for _, h := range hosts {
		t, err := w.treeOf(h)
		if err != nil {
			return fmt.Errorf("host %s: %w", h.Name, err)
		}
		w.trees[h.Name] = t
		want.text(hostFile(h.Name, "host.nix"), h.Module)
		for rel, file := range t {
			want.copy(hostFile(h.Name, "fleet/"+rel), file)
		}
	}
	if err := w.readLock(want); err != nil {
		return err
	}
	return want.write()
}

// treeOf is what a host sees of the fleet's folder.
func (w *Workspace) treeOf(h HostTree) (tree, error) {
	if err := refuseSecretTexts(h.Module); err != nil {
		return nil, err
	}
	files := w.files.replacing(h.Replaced)
	t, err := files.scan(h.Roots)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(w.wholeMark(h.Name)); err == nil {
		w.whole[h.Name] = true
		t = files.all()
	}
	return t, t.refuseSecrets()
}

// readLock takes the fleet's lock into the flake. An absent one is made later,
// by lockInputs, as that needs nix.
func (w *Workspace) readLock(want *folder) error {
	lock, err := os.ReadFile(w.LockFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read flake.lock: %w", err)
	}
	if w.LocalInputs {
		moved, err := localInputMoved(lock)
		if err != nil {
			return err
		}
		if moved {
			return nil // as if there were none: lockInputs makes it anew
		}
	}
	want.text("flake.lock", lock)
	return nil
}

func hostFile(host, rel string) string { return "hosts/" + host + "/" + rel }

// wholeMark remembers that a host needs the whole folder, so that the next
// evaluation does not have to fail first.
func (w *Workspace) wholeMark(host string) string { return filepath.Join(w.Cache, "whole-"+host) }

func (w *Workspace) rootsDir() string {
	if w.Roots != "" {
		return w.Roots
	}
	return filepath.Join(filepath.Dir(w.Cache), "roots")
}
