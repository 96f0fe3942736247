package nix

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The tests here need no nix.

func TestPathInfoForms(t *testing.T) {
	want := []PathInfo{{
		Path: "/nix/store/02ha6cbkwqiw61y24q1ixls0myqb9wmh-a", NarSize: 120, Deriver: "/nix/store/x-a.drv",
		NarHash:    "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
		References: []string{"/nix/store/0-b", "/nix/store/1-c"}, Signatures: []string{"k:c2ln"},
	}}
	for name, text := range map[string]string{
		"list, 2.18": `[{"path":"/nix/store/02ha6cbkwqiw61y24q1ixls0myqb9wmh-a","narHash":"sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73","narSize":120,
			"references":["/nix/store/1-c","/nix/store/0-b"],"signatures":["k:c2ln"],"deriver":"/nix/store/x-a.drv"}]`,
		"map, 2.26": `{"/nix/store/02ha6cbkwqiw61y24q1ixls0myqb9wmh-a":{"ca":null,"narHash":"sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=","narSize":120,
			"references":["/nix/store/1-c","/nix/store/0-b"],"signatures":["k:c2ln"],"deriver":"/nix/store/x-a.drv","registrationTime":1,"ultimate":true}}`,
		"under info": `{"version":3,"storeDir":"/nix/store","info":{"02ha6cbkwqiw61y24q1ixls0myqb9wmh-a":{"narHash":{"algorithm":"sha256","format":"base64","hash":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
			"narSize":120,"references":["1-c","0-b"],"signatures":[{"keyName":"k","sig":"c2ln"}],"deriver":"x-a.drv"}}}`,
	} {
		got, err := parsePathInfos([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
	if _, err := parsePathInfos([]byte(`{"/nix/store/0-x":null}`)); !errors.Is(err, ErrInvalidPath) {
		t.Errorf("null: %v", err)
	}
}

func TestNix32RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "b")
		back, err := fromNix32(nix32(b))
		if err != nil || !bytes.Equal(back, b) {
			t.Fatalf("%x -> %s -> %x, %v", b, nix32(b), back, err)
		}
	})
}

func TestLogReader(t *testing.T) {
	var got []Event
	l := newLogReader(func(e Event) { got = append(got, e) })
	l.Write([]byte("@nix {\"action\":\"start\",\"id\":1,\"type\":103,\"fields\":[]}\n@nix {\"action\":\"res"))
	l.Write([]byte("ult\",\"id\":1,\"type\":105,\"fields\":[1,3,1,0]}\n" +
		`@nix {"action":"result","id":1,"type":106,"fields":[100,1000]}` + "\n" +
		`@nix {"action":"start","id":2,"type":100,"fields":["/nix/store/0-a","",""]}` + "\n" +
		`@nix {"action":"result","id":2,"type":105,"fields":[400,600,0,0]}` + "\n" +
		`@nix {"action":"stop","id":2}` + "\n" +
		`@nix {"action":"msg","level":0,"msg":"\u001b[31;1merror:\u001b[0m no such option\n  at web.hcl:12"}` + "\n" + "plain"))
	l.flush()
	want := []Event{
		{Kind: EventProgress, Paths: 1, OfPaths: 3},
		{Kind: EventProgress, Paths: 1, OfPaths: 3, OfBytes: 1000},
		{Kind: EventCopyPath, Path: "/nix/store/0-a"},
		{Kind: EventProgress, Paths: 1, OfPaths: 3, Bytes: 400, OfBytes: 1000},
		{Kind: EventCopyPath, Path: "/nix/store/0-a", Done: true},
		{Kind: EventProgress, Paths: 1, OfPaths: 3, Bytes: 400, OfBytes: 1000},
		{Kind: EventMessage, Text: "error: no such option\n  at web.hcl:12"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if e := l.errorText(); e != "error: no such option\n  at web.hcl:12" {
		t.Errorf("errorText = %q", e)
	}
}

// folderOf writes files below a new folder.
func folderOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func scanned(t *testing.T, dir string, roots ...string) []string {
	t.Helper()
	a, err := listAllowed(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.scan(roots)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for f := range got {
		names = append(names, f)
	}
	sort.Strings(names)
	return names
}

func TestScanFollowsPathLiterals(t *testing.T) {
	dir := folderOf(t, map[string]string{
		"hosts/a.nix":     `{ imports = [ ../lib/x.nix ./sub ]; a = builtins.readFile ../data/${name}.txt; b = 1/2; u = "https://h/../lib/no.nix"; }`,
		"hosts/sub/s.nix": `../../lib/y.nix`, "hosts/sub/t.txt": "", "hosts/b.nix": "",
		"lib/x.nix": `./z.nix + data/deep.txt + /etc/passwd + ../../outside`, "lib/y.nix": `./missing.nix`, "lib/z.nix": "", "lib/no.nix": "",
		"lib/data/deep.txt": "", "data/one.txt": "", "data/two.txt": "", "nixmesh.hcl": "", ".env": "", "secrets/a.key": "", "secrets/a.age": "",
	})
	want := []string{"data/one.txt", "data/two.txt", "hosts/a.nix", "hosts/sub/s.nix", "hosts/sub/t.txt", "lib/data/deep.txt", "lib/x.nix", "lib/y.nix", "lib/z.nix"}
	if d := cmp.Diff(want, scanned(t, dir, "hosts/a.nix")); d != "" {
		t.Error(d)
	}
	a, err := listAllowed(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"nixmesh.hcl", ".env", "secrets/a.key"} {
		if a.files[f] != "" {
			t.Errorf("%s may enter", f)
		}
	}
	if a.files["secrets/a.age"] == "" {
		t.Error("ciphertext may not enter")
	}
	var refused *RefusedError
	if _, err := a.scan([]string{"secrets/a.key"}); !errors.As(err, &refused) || refused.Code() != "NM0006" {
		t.Errorf("secrets/a.key as a root: %v", err)
	}
}

// The lab's secrets stand in the place of the fleet's, which may be missing.
func TestReplacedFiles(t *testing.T) {
	dir := folderOf(t, map[string]string{"a.nix": "./secrets", "secrets/a.age": "the fleet's", "secrets/b.age": "the fleet's"})
	lab := folderOf(t, map[string]string{"a": "the lab's", "c": "the lab's", "key": "-----BEGIN OPENSSH PRIVATE KEY-----"})
	files, err := listAllowed(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	before, err := files.scan([]string{"a.nix"})
	if err != nil {
		t.Fatal(err)
	}
	replaced := files.replacing(map[string]string{"secrets/a.age": filepath.Join(lab, "a"), "secrets/c.age": filepath.Join(lab, "c")})
	after, err := replaced.scan([]string{"a.nix", "secrets/c.age"})
	if err != nil {
		t.Fatal(err)
	}
	want := tree{
		"a.nix": filepath.Join(dir, "a.nix"), "secrets/a.age": filepath.Join(lab, "a"),
		"secrets/b.age": filepath.Join(dir, "secrets/b.age"), "secrets/c.age": filepath.Join(lab, "c"),
	}
	if d := cmp.Diff(want, after); d != "" {
		t.Error(d)
	}
	if files.files["secrets/c.age"] != "" {
		t.Error("another host sees a file that this one's replaces")
	}
	old, err := before.sum()
	if err != nil {
		t.Fatal(err)
	}
	if sum, err := after.sum(); err != nil || sum == old {
		t.Errorf("the key is %s for another content, too: %v", sum, err)
	}
	var refused *RefusedError
	if err := (tree{"secrets/a.age": filepath.Join(lab, "key")}).refuseSecrets(); !errors.As(err, &refused) || refused.File != "secrets/a.age" {
		t.Errorf("a private key in the place of a secret: %v", err)
	}
}

func TestLinksDoNotPublishOtherFiles(t *testing.T) {
	dir := folderOf(t, map[string]string{"real.nix": "1", "secrets/a.key": "", ".env": ""})
	outside := folderOf(t, map[string]string{"id": "private"})
	for name, target := range map[string]string{"inside.nix": "real.nix", "outside": filepath.Join(outside, "id"), "key": "secrets/a.key", "env": ".env", "gone": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]string{"inside.nix", "real.nix"}, scanned(t, dir, ".")); d != "" {
		t.Error(d)
	}
}

func TestAllowListIsGits(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	dir := folderOf(t, map[string]string{".gitignore": "ignored.nix\n", "ignored.nix": "", "fleet/tracked.nix": "", "fleet/new.nix": ""})
	for _, args := range [][]string{{"init", "-q"}, {"add", ".gitignore", "fleet/tracked.nix"}} {
		if out, err := exec.Command(git, append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	if d := cmp.Diff([]string{"new.nix", "tracked.nix"}, scanned(t, filepath.Join(dir, "fleet"), ".")); d != "" {
		t.Error(d)
	}
	a, err := listAllowed(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.scan([]string{"ignored.nix"}); err == nil || !strings.Contains(err.Error(), "git ignores it") {
		t.Errorf("an ignored root: %v", err)
	}
}

func TestSecretsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		line int // 0 = allowed
	}{
		"ssh":        {"# x\n-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", 2},
		"pem in nix": {"{\n  key = ''\n    -----BEGIN RSA PRIVATE KEY-----\n  '';\n}", 3},
		"age":        {"AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ", 1},
		"nix":        {"anna-1:" + strings.Repeat("A", 86) + "==\n", 1},
		"public":     {"-----BEGIN PUBLIC KEY-----\nssh-ed25519 AAAA\nage1qqq\n", 0},
		"ciphertext": {"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n", 0},
	} {
		dir := folderOf(t, map[string]string{"f": c.text})
		err := tree{"f": filepath.Join(dir, "f")}.refuseSecrets()
		var refused *RefusedError
		if errors.As(err, &refused) != (c.line > 0) || refused != nil && refused.Line != c.line {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSecretsAreRefusedInModules: a text of the spec enters the store, too.
func TestSecretsAreRefusedInModules(t *testing.T) {
	const place = `nixmesh.hcl:12 (service "web")`
	for name, c := range map[string]struct {
		value string // as Nix writes it
		want  string // "" = allowed
	}{
		"ssh":        {`"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"`, place + ": it holds a private key"},
		"age":        {`"\"AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ\""`, place + ": it holds an age identity"},
		"nix":        {`"anna-1:` + strings.Repeat("A", 86) + `==\n"`, place + ": it is a secret key of nix"},
		"public":     {`"-----BEGIN CERTIFICATE-----\nanna-1:` + strings.Repeat("A", 43) + `=\n"`, ""},
		"ciphertext": {`"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n"`, ""},
		"of a path":  {`(fleet + "/secrets/api-db.age")`, ""},
	} {
		f := newFleet(t, nil, nil)
		f.hosts = []HostTree{{Name: "app1", Module: []byte("inputs:\n{\n  imports = [\n    {\n      _file = \"nixmesh.hcl:10 (host \\\"app1\\\")\";\n    }\n    {\n" +
			"      _file = \"nixmesh.hcl:12 (service \\\"web\\\")\";\n      config = {\n        services.nixmesh.instances.web.environment.A = " + c.value + ";\n      };\n    }\n    {\n" +
			"      _file = \"nixmesh.hcl:20 (service \\\"api\\\")\";\n    }\n  ];\n}\n")}}
		err := f.w.Prepare(t.Context(), []byte("{ }"), f.hosts, f.nixmesh)
		var refused *RefusedError
		if errors.As(err, &refused) != (c.want != "") || refused != nil && !strings.HasPrefix(err.Error(), "host app1: "+c.want+", and ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFolderWritesOnlyWhatDiffers(t *testing.T) {
	dir := folderOf(t, map[string]string{"same": "1", "other": "1", "stale/deep": "1", "was-file": "1"})
	before, _ := os.Stat(filepath.Join(dir, "same"))
	f := newFolder(dir)
	f.text("same", []byte("1"))
	f.text("other", []byte("2"))
	f.text("was-file/now-folder", []byte("3"))
	if err := f.write(); err != nil {
		t.Fatal(err)
	}
	after, _ := os.Stat(filepath.Join(dir, "same"))
	if !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Error("an equal file was written")
	}
	if _, err := os.Stat(filepath.Join(dir, "stale")); err == nil {
		t.Error("a stale folder stays")
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "was-file/now-folder")); string(b) != "3" {
		t.Errorf("was-file/now-folder = %q", b)
	}
}

func TestDiff(t *testing.T) {
	path := func(name string) string { return "/nix/store/02ha6cbkwqiw61y24q1ixls0myqb9wmh-" + name }
	got := Diff([]PathInfo{{Path: path("api-1.2"), NarSize: 10}, {Path: path("glibc-2.40"), NarSize: 5}, {Path: path("gone-1"), NarSize: 1}, {Path: path("unit-x.service")}},
		[]PathInfo{{Path: path("api-1.3"), NarSize: 14}, {Path: path("glibc-2.40"), NarSize: 5}, {Path: path("unit-x.service")}})
	want := []PackageChange{
		{Name: "api", Before: []string{"1.2"}, After: []string{"1.3"}, Bytes: 4},
		{Name: "gone", Before: []string{"1"}, Bytes: -1},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestReadInputs(t *testing.T) {
	lock := []byte(`{"nodes":{"root":{"inputs":{"nixpkgs":"nixpkgs","pkgs":"pkgs_2","same":["pkgs"]}},
		"nixpkgs":{"locked":{"type":"github","owner":"nixos","repo":"nixpkgs","rev":"abc","narHash":"sha256-x"}},
		"pkgs_2":{"locked":{"type":"path","path":"/srv/pkgs","narHash":"sha256-y"}}},"root":"root","version":7}`)
	got, err := ReadInputs(lock)
	want := map[string]Input{"nixpkgs": {"nixpkgs", "abc", "github:nixos/nixpkgs"}, "pkgs": {"pkgs", "", "path:/srv/pkgs"}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	if moved, err := localInputMoved(lock); !moved || err != nil {
		t.Errorf("a folder that is gone: %v, %v", moved, err)
	}
}

func FuzzParsePathInfos(f *testing.F) {
	f.Add([]byte(`{"/nix/store/0-x":{"narHash":"sha256-"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		infos, err := parsePathInfos(b)
		if err == nil {
			for _, i := range infos {
				if Fingerprint(i) == "" {
					t.Fatalf("no fingerprint of %+v", i)
				}
			}
		}
	})
}

func TestEvalSlots(t *testing.T) {
	if n := evalSlots(1 << 60); n != 1 {
		t.Errorf("without memory: %d", n)
	}
	if n := evalSlots(1); n != runtime.NumCPU() {
		t.Errorf("with memory: %d", n)
	}
}
