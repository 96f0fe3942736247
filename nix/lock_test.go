package nix

import (
	"errors"
	"strings"
	"testing"
)

// withInput is a fleet whose flake has a folder as an input.
func withInput(t *testing.T, local bool) (f *fleet, flake func() []byte) {
	f = newFleet(t, realTool(t), map[string]string{"a.nix": `"a"`, "dep/text": "one"})
	f.w.LocalInputs = local
	f.host("app1", "", "a.nix")
	return f, func() []byte {
		text := strings.Replace(string(f.flake()), "{ outputs = { self }: let",
			"{ inputs.dep = { url = \"path:"+strings.ReplaceAll(f.dir, " ", "%20")+"/dep\"; flake = false; }; outputs = { self, dep }: let", 1)
		return []byte(strings.Replace(text, "echo '${text}'", "echo '${text} ${builtins.readFile (dep + \"/text\")}'", 1))
	}
}

func (f *fleet) buildFlake(flake []byte) Result {
	f.t.Helper()
	if err := f.w.Prepare(f.t.Context(), flake, f.hosts, f.nixmesh); err != nil {
		f.t.Fatal(err)
	}
	r, err := f.w.Build(f.t.Context(), []string{"app1"}, BuildOptions{EvalMemory: 1}, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return r["app1"]
}

func TestOnlyUpdateMovesTheLock(t *testing.T) {
	f, flake := withInput(t, false)
	first := f.buildFlake(flake())
	if first.Err != nil {
		t.Fatal(first.Err)
	}
	lock := read(t, f.w.LockFile)
	f.write("dep/text", "two")
	// nix may still hold the locked content in its store: then it is the
	// locked content that counts.
	if r := f.buildFlake(flake()); r.Evaluated || r.Err != nil || r.Toplevel != first.Toplevel {
		t.Errorf("a moved input without an update: %+v", r)
	}
	if read(t, f.w.LockFile) != lock {
		t.Error("a build changed the lock")
	}
	f.write("dep2/text", "three")
	key := f.hosts[0].KeyModule
	f.hosts[0].KeyModule = []byte("names another input")
	if r := f.buildFlake([]byte(strings.Replace(string(flake()), "/dep\"; flake", "/dep2\"; flake", 1))); !errors.Is(r.Err, ErrLockStale) {
		t.Errorf("another input under the old lock: %+v", r)
	}
	f.hosts[0].KeyModule = key
	if err := f.w.Prepare(t.Context(), flake(), f.hosts, f.nixmesh); err != nil {
		t.Fatal(err)
	}
	if err := f.w.Update(t.Context(), "dep"); err != nil {
		t.Fatal(err)
	}
	if read(t, f.w.LockFile) == lock {
		t.Error("Update left the lock")
	}
	if r := f.buildFlake(flake()); !r.Evaluated || r.Err != nil || r.Toplevel == first.Toplevel {
		t.Errorf("after Update: %+v", r)
	}
}

func TestLocalInputsMoveUnderTheLock(t *testing.T) {
	f, flake := withInput(t, true)
	first := f.buildFlake(flake())
	f.write("dep/text", "two")
	second := f.buildFlake(flake())
	if first.Err != nil || second.Err != nil || !second.Evaluated || second.Toplevel == first.Toplevel {
		t.Errorf("%+v, then %+v", first, second)
	}
	if r := f.buildFlake(flake()); r.Evaluated {
		t.Errorf("the same again: %+v", r)
	}
	f.write("dep2/text", "three")
	f.hosts[0].KeyModule = []byte("names another input")
	if r := f.buildFlake([]byte(strings.Replace(string(flake()), "/dep\"; flake", "/dep2\"; flake", 1))); r.Err != nil || !r.Evaluated {
		t.Errorf("another input: %+v", r)
	}
}
