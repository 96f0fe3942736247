package nix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// lockInputs makes flake.lock where the flake has none, and keeps it in the
// fleet's folder.
func (w *Workspace) lockInputs(ctx context.Context) error {
	inside := filepath.Join(w.Dir, "flake.lock")
	if _, err := os.Stat(inside); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for flake.lock: %w", err)
	}
	if _, err := w.Tool.run(ctx, call{doing: "lock the flake's inputs", args: w.Tool.nix("flake", "lock", flakeURL(w.Dir))}); err != nil {
		return err
	}
	if _, err := os.Stat(inside); errors.Is(err, fs.ErrNotExist) { // no inputs at all
		if err := os.WriteFile(inside, []byte("{\n  \"nodes\": {\n    \"root\": {}\n  },\n  \"root\": \"root\",\n  \"version\": 7\n}\n"), 0o644); err != nil {
			return fmt.Errorf("write flake.lock: %w", err)
		}
	}
	return w.keepLock()
}

// Update moves the inputs named, or all, to the newest that the specification
// allows, and writes the fleet's flake.lock. Prepare has to come first.
func (w *Workspace) Update(ctx context.Context, inputs ...string) error {
	if _, err := os.Stat(filepath.Join(w.Dir, "flake.lock")); errors.Is(err, fs.ErrNotExist) {
		return w.lockInputs(ctx) // a new lock has the newest of all
	}
	args := append(w.Tool.nix("flake", "update", "--flake", flakeURL(w.Dir)), inputs...)
	if _, err := w.Tool.run(ctx, call{doing: "update the flake's inputs", args: args}); err != nil {
		return err
	}
	return w.keepLock()
}

// keepLock copies the flake's lock to the fleet's folder.
func (w *Workspace) keepLock() error {
	lock, err := os.ReadFile(filepath.Join(w.Dir, "flake.lock"))
	if err != nil {
		return fmt.Errorf("read new flake.lock: %w", err)
	}
	if err := writeIfDifferent(w.LockFile, lock, 0o644); err != nil {
		return fmt.Errorf("write flake.lock: %w", err)
	}
	return nil
}

// Input is one locked input, for messages and for `update`.
type Input struct {
	Name string
	Rev  string // commit, "" for a folder
	Ref  string // "github:nixos/nixpkgs", "path:/srv/pkgs"
}

// lockDocument is what we read of a flake.lock (version 7).
type lockDocument struct {
	Root  string `json:"root"`
	Nodes map[string]struct {
		Inputs map[string]json.RawMessage `json:"inputs"`
		Locked lockedInput                `json:"locked"`
	} `json:"nodes"`
}

type lockedInput struct {
	Type    string `json:"type"`
	Path    string `json:"path"`
	NarHash string `json:"narHash"`
	Owner   string `json:"owner"`
	Repo    string `json:"repo"`
	URL     string `json:"url"`
	Rev     string `json:"rev"`
}

// ReadInputs lists the direct inputs of a flake.lock by name.
func ReadInputs(lock []byte) (map[string]Input, error) {
	var doc lockDocument
	if err := json.Unmarshal(lock, &doc); err != nil {
		return nil, fmt.Errorf("parse flake.lock: %w", err)
	}
	inputs := map[string]Input{}
	for name, raw := range doc.Nodes[doc.Root].Inputs {
		var node string
		if json.Unmarshal(raw, &node) != nil {
			continue // follows another input
		}
		l := doc.Nodes[node].Locked
		i := Input{Name: name, Rev: l.Rev}
		switch {
		case l.Path != "":
			i.Ref = l.Type + ":" + l.Path
		case l.URL != "":
			i.Ref = l.Type + "+" + l.URL
		default:
			i.Ref = l.Type + ":" + l.Owner + "/" + l.Repo
		}
		inputs[name] = i
	}
	return inputs, nil
}

// localInputMoved says whether a folder that the lock names has another
// content now, or is not there.
func localInputMoved(lock []byte) (bool, error) {
	var doc lockDocument
	if err := json.Unmarshal(lock, &doc); err != nil {
		return false, fmt.Errorf("parse flake.lock: %w", err)
	}
	for _, n := range doc.Nodes {
		if n.Locked.Type != "path" || !strings.HasPrefix(n.Locked.Path, "/") {
			continue
		}
		if hash, err := HashPath(n.Locked.Path); err != nil || hash != n.Locked.NarHash {
			return true, nil //nolint:nilerr // a folder that cannot be read has moved: locking anew says why
		}
	}
	return false, nil
}
