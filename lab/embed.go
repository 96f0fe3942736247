package lab

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// files are the Nix half of the lab: the stand-in for nixpkgs, the module
// that every lab host imports, and the first system of the hosts.
//
//go:embed all:nixpkgs *.nix
var files embed.FS

// Files is the Nix half of the lab: nixpkgs/ (the stand-in), module.nix and
// overlay.nix (what lab hosts import beside their own modules).
func Files() fs.FS { return files }

// hashFiles is a short name for the contents of a tree.
func hashFiles(tree fs.FS) (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(tree, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%s %d\n%s", path, len(text), text)
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)[:6]), err
}

// copyFiles writes a tree below a folder.
func copyFiles(tree fs.FS, dir string) error {
	return fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(tree, path)
		if err != nil {
			return err
		}
		target := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
}
