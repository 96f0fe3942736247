package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nixmesh/nixmesh/trust"
)

// scriptKeys makes the keys that a script's people and hosts have: in keys/, and as
// @NAME@ in its HCL and locks.
func scriptKeys(env *testscript.Env) error {
	dir := filepath.Join(env.WorkDir, "keys")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	anna, err := trust.GenerateAgeIdentity(filepath.Join(dir, "anna.txt"))
	if err != nil {
		return err
	}
	names := []string{"@ANNA@", anna}
	for _, name := range []string{"bert", "host1", "host2", "host3", "host4"} {
		key, err := trust.GenerateSSHKey("")
		if err != nil {
			return err
		}
		if err := key.Save(filepath.Join(dir, name)); err != nil {
			return err
		}
		names = append(names, "@"+strings.ToUpper(name)+"@", strings.TrimSpace(key.Authorized))
	}
	for _, pattern := range []string{"*.hcl", "*.hcl.txt", "*.lock"} {
		files, err := filepath.Glob(filepath.Join(env.WorkDir, pattern))
		if err != nil {
			return err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if err := os.WriteFile(file, []byte(strings.NewReplacer(names...).Replace(string(text))), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}
