package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nixmesh/nixmesh/trust"
)

// TestSecretScripts runs the secret commands with keys that are made for it:
// in keys/, and as @NAME@ in the HCL and the lock.
func TestSecretScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/secret",
		Cmds:  map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits},
		Setup: scriptKeys,
	})
}

// What is kept for the lab is of the same bytes until its text or its hosts
// change.
func TestLabSecretsAreMadeOnce(t *testing.T) {
	dir := t.TempDir()
	key, err := trust.GenerateSSHKey("h1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := trust.GenerateSSHKey("h2")
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Save(filepath.Join(dir, "h1")); err != nil {
		t.Fatal(err)
	}
	id, err := trust.LoadAgeIdentity(filepath.Join(dir, "h1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	made := func(text string, to ...string) (sealed, clear string) {
		t.Helper()
		file, err := labSecret(filepath.Join(dir, "secrets/db.age"), text, to)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := trust.Decrypt(content, id)
		if err != nil {
			t.Fatal(err)
		}
		return string(content), string(opened)
	}
	random, text := made("", key.Authorized, other.Authorized)
	if len(text) < 20 {
		t.Errorf("a random text is %q", text)
	}
	if again, _ := made("", other.Authorized, key.Authorized); again != random {
		t.Error("the same secret for the same hosts is another file")
	}
	fewer, same := made("", key.Authorized)
	if fewer == random || same != text {
		t.Error("with fewer hosts: the same file, or another text")
	}
	if _, opened := made("given", key.Authorized); opened != "given" {
		t.Errorf("the text of lab.hcl is %q", opened)
	}
}
