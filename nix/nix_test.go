package nix

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/nixmesh/nixmesh/internal/testkit"
	"github.com/nixmesh/nixmesh/trust"
)

// realTool is nix itself, or the test is skipped.
func realTool(t *testing.T) *Tool {
	t.Helper()
	return &Tool{Wrap: testkit.Nix(t, labWrap), Options: []string{"--offline"}}
}

// fleet is a folder with files, and a workspace on it.
type fleet struct {
	t       *testing.T
	dir     string
	w       *Workspace
	hosts   []HostTree
	nixmesh NixmeshTree
}

func newFleet(t *testing.T, tool *Tool, files map[string]string) *fleet {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a fleet") // a space, as people have it
	f := &fleet{t: t, dir: dir, w: &Workspace{
		Dir: filepath.Join(dir, ".nixmesh/build"), Fleet: dir, LockFile: filepath.Join(dir, "flake.lock"),
		Cache: filepath.Join(dir, ".nixmesh/cache"), Tool: tool,
	}}
	for name, text := range files {
		f.write(name, text)
	}
	exe := filepath.Join(t.TempDir(), "nixmesh")
	if err := os.WriteFile(exe, []byte("binary"), 0o755); err != nil {
		t.Fatal(err)
	}
	n, err := MaterializeNixmesh(filepath.Join(dir, ".nixmesh/nixmesh"),
		fstest.MapFS{"default.nix": {Data: []byte("{ }")}}, exe, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.nixmesh = n
	return f
}

func (f *fleet) write(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// host adds a host whose module says place (a _file value that the key leaves
// out) and reads the roots.
func (f *fleet) host(name, place string, roots ...string) {
	module := func(place string) []byte {
		var imports strings.Builder
		for _, r := range roots {
			imports.WriteString(" ./fleet/" + r)
		}
		return []byte("# " + place + "\n[" + imports.String() + " ]\n")
	}
	f.hosts = append(f.hosts, HostTree{Name: name, System: "x86_64-linux", Module: module(place), KeyModule: module(""), Roots: roots})
}

// flake builds for each host a text that its files return.
func (f *fleet) flake() []byte {
	var b strings.Builder
	b.WriteString("{ outputs = { self }: let\n  nixmesh = builtins.fetchTree { type = \"path\"; path = \"" + f.nixmesh.Dir + "\"; narHash = \"" + f.nixmesh.NarHash + "\"; };\n")
	b.WriteString(`  top = name: dir: let text = builtins.concatStringsSep " " (map import (import (dir + "/host.nix"))); in {
    config.system.build.toplevel = builtins.derivation {
      name = "nixos-system-${name}-1"; system = "x86_64-linux"; builder = "/bin/sh"; inherit nixmesh;
      args = [ "-c" "echo building; if :; then echo '${text}' > $out; fi" ];
    };
  };
in { nixosConfigurations = {
`)
	for _, h := range f.hosts {
		b.WriteString("  " + h.Name + " = top \"" + h.Name + "\" (builtins.path { path = ./hosts/" + h.Name + "; name = \"nixmesh-" + h.Name + "\"; });\n")
	}
	b.WriteString("}; }; }\n")
	return []byte(b.String())
}

func (f *fleet) build(names ...string) map[string]Result {
	f.t.Helper()
	ctx := context.Background()
	if err := f.w.Prepare(ctx, f.flake(), f.hosts, f.nixmesh); err != nil {
		f.t.Fatal(err)
	}
	r, err := f.w.Build(ctx, names, BuildOptions{EvalMemory: 1}, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func TestHashPathAgreesWithNix(t *testing.T) {
	tool := realTool(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"a": "", "b": "12345678", "a.b": "x", "sub/deep/file": strings.Repeat("z", 100001)} {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
		os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)
	}
	os.WriteFile(filepath.Join(dir, "run"), []byte("#!"), 0o755)
	os.Symlink("sub/deep", filepath.Join(dir, "link"))
	os.Mkdir(filepath.Join(dir, "empty"), 0o755)
	want, err := tool.run(context.Background(), call{doing: "hash", args: tool.nix("hash", "path", dir)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := HashPath(dir)
	if err != nil || got != strings.TrimSpace(string(want)) {
		t.Errorf("HashPath = %s, %v; nix says %s", got, err, want)
	}
}

func TestBuildEvaluatesOnlyWhatChanged(t *testing.T) {
	f := newFleet(t, realTool(t), map[string]string{
		"a.nix": `"a" + import ./lib/common.nix`, "lib/common.nix": `"common"`, "b.nix": `"b"`, "unused.nix": `"u"`,
	})
	f.host("app1", "web.hcl:1", "a.nix")
	f.host("app2", "web.hcl:9", "b.nix")
	first := f.build("app1", "app2")
	for h, r := range first {
		if r.Err != nil || !r.Evaluated {
			t.Fatalf("%s: %+v", h, r)
		}
	}
	if target, err := os.Readlink(filepath.Join(f.dir, ".nixmesh/roots/app1")); err != nil || target != first["app1"].Toplevel {
		t.Errorf("root of app1 = %q, %v", target, err)
	}
	step := func(what string, app1, app2 bool) {
		t.Helper()
		r := f.build("app1", "app2")
		if r["app1"].Err != nil || r["app2"].Err != nil {
			t.Fatalf("%s: %+v", what, r)
		}
		if r["app1"].Evaluated != app1 || r["app2"].Evaluated != app2 {
			t.Errorf("%s: evaluated app1 %v, app2 %v; want %v, %v", what, r["app1"].Evaluated, r["app2"].Evaluated, app1, app2)
		}
	}
	step("nothing", false, false)
	f.hosts[0].Module = []byte(strings.Replace(string(f.hosts[0].Module), "web.hcl:1", "web.hcl:2", 1))
	step("a comment in the HCL moved a place", false, false)
	f.write("unused.nix", `"v"`)
	step("a file that nobody reads", false, false)
	f.write("lib/common.nix", `"other"`)
	step("a file that app1 reads", true, false)
	f.nixmesh.NarHash, f.nixmesh.Dir = f.materialize(t, "other binary")
	step("another nixmesh", true, true)
	f.write("flake.lock", strings.Replace(read(t, f.w.LockFile), "\n}", " \n}", 1))
	step("another pin", true, true)
}

func (f *fleet) materialize(t *testing.T, text string) (hash, dir string) {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "nixmesh")
	if err := os.WriteFile(exe, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	n, err := MaterializeNixmesh(f.nixmesh.Dir, fstest.MapFS{"default.nix": {Data: []byte("{ }")}}, exe, nil)
	if err != nil {
		t.Fatal(err)
	}
	return n.NarHash, n.Dir
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBuildFallsBackToTheWholeFolder(t *testing.T) {
	f := newFleet(t, realTool(t), map[string]string{
		"a.nix": `builtins.readFile (./lib + ("/../data/" + "x.txt"))`, "lib/y.nix": "1", "data/x.txt": "hidden",
	})
	f.host("app1", "", "a.nix")
	r := f.build("app1")["app1"]
	if r.Err != nil || !r.Whole {
		t.Fatalf("%+v", r)
	}
	if r := f.build("app1")["app1"]; r.Evaluated || !r.Whole || r.Err != nil {
		t.Errorf("again: %+v", r)
	}
	f.write("data/x.txt", "changed")
	if r := f.build("app1")["app1"]; !r.Evaluated || r.Err != nil {
		t.Errorf("after a change of the file that the scan missed: %+v", r)
	}
}

func TestBuildReportsOneHostsFailure(t *testing.T) {
	f := newFleet(t, realTool(t), map[string]string{"a.nix": `import ./sub/x.nix`, "sub/x.nix": `throw "web.hcl:12: no such thing"`, "b.nix": `"b"`, "c.nix": "\n  oops"})
	f.host("app1", "", "a.nix")
	f.host("app2", "", "b.nix")
	f.host("app3", "", "c.nix")
	r := f.build("app1", "app2", "app3")
	if err := r["app3"].Err; err == nil || !strings.Contains(err.Error(), "at c.nix:2:3") {
		t.Errorf("app3 names no file of the fleet: %v", err)
	}
	if err := r["app1"].Err; err == nil || !strings.Contains(err.Error(), "web.hcl:12: no such thing") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("app1: %v", err)
	}
	if e := (*Error)(nil); !asError(r["app1"].Err, &e) || !strings.HasPrefix(e.Short(), "error: web.hcl:12: no such thing") {
		t.Errorf("app1, short: %q", e.Short())
	}
	if r["app2"].Err != nil || r["app2"].Toplevel == "" {
		t.Errorf("app2: %+v", r["app2"])
	}
}

func TestBuildShowsTheLogOfAFailedBuild(t *testing.T) {
	f := newFleet(t, realTool(t), map[string]string{"a.nix": `"it's broken"`})
	f.host("app1", "", "a.nix")
	if err := f.build("app1")["app1"].Err; err == nil || !strings.Contains(err.Error(), "end of its log:\n  sh: 1: Syntax error") {
		t.Errorf("%v", err)
	}
}

func TestSignatureAgreesWithNix(t *testing.T) {
	ctx := context.Background()
	f := newFleet(t, realTool(t), map[string]string{"a.nix": `"signed"`})
	f.host("app1", "", "a.nix")
	top := f.build("app1")["app1"].Toplevel
	key, err := trust.GenerateNixKey("anna-1")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "nix.key")
	if err := key.Save(file); err != nil {
		t.Fatal(err)
	}
	if err := f.w.Tool.Sign(ctx, file, top); err != nil {
		t.Fatal(err)
	}
	info, err := f.w.Tool.PathInfo(ctx, top)
	if err != nil {
		t.Fatal(err)
	}
	ours := SignPath(key, info)
	found := false
	for _, s := range info.Signatures {
		found = found || s == ours
	}
	if !found || !VerifyPath(key.Public(), ours, info) {
		t.Errorf("nix signed %v, we %s", info.Signatures, ours)
	}
	if _, err := f.w.Tool.PathInfo(ctx, "/nix/store/00000000000000000000000000000000-x"); err == nil {
		t.Error("a path that is not there has an info")
	}
}
