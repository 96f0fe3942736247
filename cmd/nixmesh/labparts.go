package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nixmesh/nixmesh/lab"
)

// labExtra are the lab's own parts of the folder that the generated flake takes
// from nixmesh: its module, its overlay, and the demo services that were built
// beside this program. Outside the lab there are none.
func (f *fleet) labExtra() (map[string]string, error) {
	if f.lab == nil {
		return nil, nil
	}
	dir := f.state("lab", "files")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("write the lab's modules: %w", err)
	}
	extra := map[string]string{}
	files, err := fs.Glob(lab.Files(), "*.nix")
	if err != nil {
		return nil, fmt.Errorf("write the lab's modules: %w", err)
	}
	for _, name := range files {
		if strings.HasPrefix(name, "seed") {
			continue
		}
		text, err := fs.ReadFile(lab.Files(), name)
		if err != nil {
			return nil, fmt.Errorf("write the lab's modules: %w", err)
		}
		at := filepath.Join(dir, name)
		if err := os.WriteFile(at, text, 0o644); err != nil {
			return nil, fmt.Errorf("write the lab's modules: %w", err)
		}
		extra["lab/"+name] = at
	}
	services, err := labServices()
	if err != nil {
		return nil, err
	}
	if services != "" {
		extra["lab/services/bin"] = services
	}
	return extra, nil
}

// labServices is the folder of the demo services beside this program, "" where
// they were not built.
func labServices() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own executable: %w", err)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", fmt.Errorf("find own executable: %w", err)
	}
	dir := filepath.Join(filepath.Dir(self), "lab-services")
	_, err = os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("find the lab's services: %w", err)
	}
	return dir, nil
}
