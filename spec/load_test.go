package spec

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSamplesAreValid(t *testing.T) {
	for _, name := range []string{"shop", "minimal"} {
		for _, lab := range []bool{false, true} {
			l := Load("../hosts/"+name, Options{Lab: lab, Version: "0.1.0"})
			if l.Diagnostics.HasErrors() {
				var text bytes.Buffer
				l.Diagnostics.Render(&text, l.Files, false)
				t.Errorf("%s (lab %v):\n%s", name, lab, text.String())
			}
		}
	}
}

func TestSamplesAreFormatted(t *testing.T) {
	for _, name := range []string{"shop", "minimal"} {
		all, _, found := FormatFleet("../hosts/" + name)
		if len(found) > 0 || len(all) < 2 {
			t.Errorf("%s: %d files, %v", name, len(all), found)
		}
		for _, f := range all {
			if f.Changed() {
				t.Errorf("%s/%s: want\n%s", name, f.Name, f.After)
			}
		}
	}
}

// TestDefaults holds what Load fills in.
func TestDefaults(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "nixmesh.hcl", base)
	write(t, dir, "services/web.hcl", `service "web" {
  on      = ["@app", "!app2"]
  package = "infra#web.server"
  exec    = "bin/web --dir \"a b\"'c' --port=$${PORT} $$5 100%"
  listen "http" {}
  check { http = "/healthz" }
}
`)
	l := Load(filepath.Join(dir, "services"), Options{})
	if l.Fleet == nil {
		t.Fatal(l.Diagnostics)
	}
	f, s := l.Fleet, l.Fleet.Services[0]
	c := s.Checks[0]
	for _, got := range []struct {
		name      string
		got, want any
	}{
		{"domain", f.Domain, "mesh"}, {"keep_releases", f.KeepReleases, 5}, {"ssh", f.SSH, SSH{User: "deploy", Port: 22}},
		{"parallel", f.Rollout.Parallel, 4}, {"confirm", f.Rollout.Confirm, 90 * time.Second}, {"activate", f.Rollout.ActivateTimeout, 10 * time.Minute},
		{"waves", len(f.Rollout.Order), 1}, {"wave", strings.Join(f.Rollout.Order[0], " "), "app1 app2"}, {"on_fail", f.Rollout.OnFail, "stop"},
		{"host system", f.Hosts[0].System, "x86_64-linux"}, {"host ssh", f.Hosts[0].SSH, f.SSH}, {"build_on", f.Hosts[0].BuildOn, "local"},
		{"on", strings.Join(s.On, " "), "app1"}, {"package", *s.Package, Package{Input: "infra", Attr: "web.server"}}, {"harden", s.Harden, "default"},
		{"files", s.Limits.Files, 65536}, {"min_healthy", s.Rollout.MinHealthy, -1}, {"drain", s.Rollout.Drain, 30 * time.Second},
		{"check", c.Kind + c.HTTP, "http/healthz"}, {"every", c.Every, 5 * time.Second}, {"rise", c.Rise, 2}, {"fall", c.Fall, 3},
		{"place", s.Place.String(), `services/web.hcl:1 (service "web")`}, {"words", len(s.Exec.Words), 6},
		{"written", l.Written("service.web.exec") && !l.Written("service.web.harden"), true},
	} {
		if got.got != got.want {
			t.Errorf("%s = %v, want %v", got.name, got.got, got.want)
		}
	}
	if w := s.Exec.Words; w[2][0].Text != "a bc" || w[3][0].Text != "--port=" || w[3][1].Var != "PORT" || w[4][0].Text != "$5" || w[5][0].Text != "100%" {
		t.Errorf("words = %q", w)
	}
}

func TestLab(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "nixmesh.hcl", base+`
service "web" {
  on      = ["*"]
  package = "web"
  exec    = "bin/web"
  check { exec = "bin/ok" }
}
`)
	write(t, dir, "lab.hcl", `lab {
  nixpkgs = "path:../stand-in"
  service "web" { env = { A = "lab" } }
}
`)
	operator := &Operator{Name: "lab"}
	l := Load(dir, Options{Lab: true, LabOperator: operator, LabHostKeys: map[string]string{"app1": testKey}})
	if l.Fleet == nil {
		t.Fatal(l.Diagnostics)
	}
	f := l.Fleet
	if f.Nixpkgs != "path:"+filepath.Join(filepath.Dir(f.Dir), "stand-in") || f.Services[0].Env["A"] != "lab" || f.Hosts[0].HostKey != testKey ||
		len(f.Operators) != 1 || f.Operators[0].Name != operator.Name || len(f.LabOverrides) != 4 {
		t.Errorf("got %+v, overrides %q", f, f.LabOverrides)
	}
	if f = Load(dir, Options{}).Fleet; f == nil || f.Operators[0].Name != "anna" || f.LabOverrides != nil {
		t.Errorf("outside of the lab: %+v", f)
	}
}

func TestMissingHostKeys(t *testing.T) {
	f := &Fleet{Hosts: []*Host{{Name: "a", HostKey: testKey}, {Name: "b"}, {Name: "c"}}}
	l := mustParseLock(t, []byte(lockHeader+"\nhostkey b "+testKey+"\n"))
	if d := MissingHostKeys(f, l); len(d) != 1 || d[0].Code != "NM0503" || d[0].Hint != "nixmesh host trust c" {
		t.Errorf("got %v", d)
	}
}

// TestRender is the sketch of the command line's design, letter by letter.
func TestRender(t *testing.T) {
	src := []byte("service \"api\" {\n  hardened = \"strict\"\n}\n")
	d := Diagnostics{{Code: "NM0102", Summary: "Unknown argument", Detail: `A service block has no argument named "hardened".`,
		Hint: `did you mean "harden"?`, File: "nixmesh.hcl", Block: `service "api"`, Start: Pos{2, 3, 18}, End: Pos{2, 11, 26}}}
	var got bytes.Buffer
	d.Render(&got, map[string][]byte{"nixmesh.hcl": src}, false)
	want := `╷
│ Error: Unknown argument  NM0102
│
│   nixmesh.hcl:2, in service "api"
│   2:   hardened = "strict"
│        ^^^^^^^^
│ A service block has no argument named "hardened".
│
│ hint: did you mean "harden"?
╵
`
	if got.String() != want {
		t.Errorf("got\n%s", got.String())
	}
	wantJSON := `{"schema":"nixmesh.diagnostics/1","diagnostics":[{"code":"NM0102","severity":"error","summary":"Unknown argument",` +
		`"detail":"A service block has no argument named \"hardened\".","hint":"did you mean \"harden\"?","file":"nixmesh.hcl",` +
		`"start":{"line":2,"column":3,"byte":18},"end":{"line":2,"column":11,"byte":26}}]}` + "\n"
	if got := string(d.JSON()); got != wantJSON {
		t.Errorf("got %s", got)
	}
	if got := string(Diagnostics(nil).JSON()); got != `{"schema":"nixmesh.diagnostics/1","diagnostics":[]}`+"\n" {
		t.Errorf("got %s", got)
	}
}

func TestTooLarge(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "nixmesh.hcl", base)
	write(t, dir, "hosts/big.hcl", strings.Repeat("# comment\n", maxFileSize/10+1))
	if l := Load(dir, Options{}); len(l.Diagnostics) != 1 || l.Diagnostics[0].Code != "NM0001" {
		t.Errorf("got %v", l.Diagnostics)
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a=1\nbb   =   2\n\n\n", "a  = 1\nbb = 2\n"},
		{"x {\na = 1 # why\n}\r\n", "x {\n  a = 1 # why\n}\n"},
		{"x {", "x {"},
		{"", ""},
		{"\n\n", ""},
	} {
		got, d := Format("f.hcl", []byte(c.in))
		if string(got) != c.want || (len(d) > 0) != (c.in == "x {") {
			t.Errorf("%q = %q, %v", c.in, got, d)
		}
		if again, _ := Format("f.hcl", got); !bytes.Equal(again, got) {
			t.Errorf("%q is not stable: %q", got, again)
		}
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDeep holds the texts that would overflow the stack of a parser or an
// evaluator that recurses: a stack that overflows ends the process.
func TestDeep(t *testing.T) {
	const n = 1 << 17
	for name, text := range map[string]string{
		"lists":      "a = " + strings.Repeat("[", n),
		"blocks":     strings.Repeat("a {\n", n/2),
		"parens":     "a = " + strings.Repeat("(", n),
		"texts":      "a = " + strings.Repeat(`"${`, n/2),
		"minus":      "a = " + strings.Repeat("-", n) + "1",
		"not":        "a = " + strings.Repeat("!", n) + "true",
		"sum":        "a = (1" + strings.Repeat("\n+1", n/2) + ")",
		"index":      "a = x" + strings.Repeat("[0]", n),
		"splat":      "a = x" + strings.Repeat(".*.a", n/2),
		"choice":     "a = " + strings.Repeat("true ? 1 : ", n/4) + "1",
		"directives": `a = "` + strings.Repeat("%{if true}", n/4) + `"`,
		"for":        "a = " + strings.Repeat("[for x in ", n/4),
	} {
		s := newSink()
		if body := s.parse("deep.hcl", []byte(text), grammar()); body != nil || len(s.found) != 1 || s.found[0].Code != "NM0001" {
			t.Errorf("%s: got %v", name, s.found)
		}
	}
}

// BenchmarkLoad reads a fleet of 500 hosts and 5,000 services.
func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	var text strings.Builder
	text.WriteString(base)
	for i := range 500 {
		fmt.Fprintf(&text, "host \"h%d\" {\n  address = \"10.1.%d.%d\"\n  tags    = [\"t%d\"]\n}\n", i, i/250, i%250+1, i%50)
	}
	for i := range 5000 {
		fmt.Fprintf(&text, "service \"s%d\" {\n  on      = [\"@t%d\"]\n  package = \"p\"\n  exec    = \"bin/p $PORT\"\n  env     = { A = \"b\" }\n  listen \"http\" {}\n  check { tcp = true }\n}\n", i, i%50)
	}
	if err := os.WriteFile(filepath.Join(dir, "nixmesh.hcl"), []byte(text.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if l := Load(dir, Options{}); l.Fleet == nil {
			b.Fatal(l.Diagnostics[0])
		}
	}
}

// TestVariables: the default, a file over it, the command line over both.
func TestVariables(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "nixmesh.hcl", base+`
variable "level" { default = "info" }
variable "size" {
  type    = number
  default = 1
}
variable "on" { type = bool }
variable "peers" {
  type    = list(string)
  default = []
}
variable "labels" {
  type    = map(string)
  default = {}
}
service "web" {
  on      = ["*"]
  package = "web"
  exec    = "bin/web"
  check { exec = "bin/ok" }
  env = {
    LEVEL  = var.level
    SIZE   = var.size
    ON     = var.on
    PEERS  = join(",", var.peers)
    LABELS = join(",", [for k, v in var.labels : "${k}=${v}"])
  }
}
`)
	write(t, dir, "a.vars.hcl", "level = \"debug\"\nsize = 2\n")
	given := map[string]string{"size": "3.5", "on": "true", "peers": `["a", "b"]`, "labels": `{ x = "1", y = "2" }`}
	l := Load(dir, Options{Vars: given})
	if l.Fleet == nil {
		t.Fatal(l.Diagnostics)
	}
	got := fmt.Sprint(l.Fleet.Services[0].Env, l.Fleet.Variables)
	if want := "map[LABELS:x=1,y=2 LEVEL:debug ON:true PEERS:a,b SIZE:3.5] map[labels:map[x:1 y:2] level:debug on:true peers:[a b] size:3.5]"; got != want {
		t.Errorf("got %s", got)
	}
	for name, text := range map[string]string{"size": "big", "on": "yes", "peers": "a,b", "labels": `{ a = 1 }`, "levels": "x",
		"Size": "1e999999999", "peer": strings.Repeat("[", 1<<20)} {
		found := Load(dir, Options{Vars: map[string]string{"on": "true", name: text}}).Diagnostics
		if found.Count(SeverityError) != 1 || found[0].Code != "NM0202" || found[0].Hint == "" {
			t.Errorf("--var %s=%.20s: %v", name, text, found)
		}
	}
}

// TestNoFolder: a folder that is misspelled below a fleet's is not that fleet.
func TestNoFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "nixmesh.hcl", base)
	write(t, dir, "services/web.hcl", "")
	for name, want := range map[string]string{"services": "", "typo": "NM0002", "typo/deep": "NM0002", "nixmesh.hcl": "NM0002", "services/web.hcl": "NM0002"} {
		given := filepath.Join(dir, name)
		_, _, format := FormatFleet(given)
		for _, found := range []Diagnostics{Load(given, Options{}).Diagnostics, format} {
			switch {
			case want == "" && found.HasErrors():
				t.Errorf("%s: %v", name, found)
			case want != "" && (len(found) != 1 || found[0].Code != want || found[0].Detail != "There is no folder "+given+"."):
				t.Errorf("%s: %v", name, found)
			}
		}
	}
}

// TestOmitted: what is found and not told is counted.
func TestOmitted(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "nixmesh.hcl", base)
	write(t, dir, "in.hcl", `service "s" {
  on           = ["*"]
  package      = "p"
  exec         = "e"
  before_start = ["e`+strings.Repeat(" $a", 3000)+`"]
}
`)
	found := Load(dir, Options{}).Diagnostics
	if n := found.Count(SeverityError); n != 3000 || found.Strict().Count(SeverityError) != n+1 || len(found) != 1001 {
		t.Errorf("%d errors, %d told", n, len(found))
	}
	var text bytes.Buffer
	found.Render(&text, nil, false)
	if want := "These are 1001 of at least 3001 problems: mend them, and the others are told.\n"; !strings.HasSuffix(text.String(), want) {
		t.Errorf("got …%s", text.String()[text.Len()-200:])
	}
	if json := found.JSON(); !bytes.HasSuffix(json, []byte(`],"omitted":2000}`+"\n")) {
		t.Errorf("got …%s", json[len(json)-200:])
	}
	if json := found[:1].JSON(); bytes.Contains(json, []byte("omitted")) {
		t.Errorf("got %s", json)
	}
}

// TestPipes: nobody may ever write into a pipe, so none is waited for.
func TestPipes(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "nixmesh.hcl", base+`
gateway "public" {
  on   = ["app1"]
  cert = "pipe"
  key  = "pipe"
  auth "login" {
    issuer = "https://login.example"
    jwks   = "pipe"
  }
  route "a.example/" {
    to   = "web"
    auth = ["login"]
  }
}
service "web" {
  on      = ["*"]
  package = "web"
  exec    = "bin/web"
  secrets = { TOKEN = "pipe" }
  listen "http" {}
  check { http = "/" }
}
`)
	for _, name := range []string{"pipe", "nixmesh.lock"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan []string, 1)
	go func() {
		codes := map[string]bool{}
		_, found := ReadLock(dir)
		for _, d := range append(Load(dir, Options{}).Diagnostics, found...) {
			codes[d.Code] = true
		}
		done <- slices.Sorted(maps.Keys(codes))
	}()
	select {
	case got := <-done:
		if want := []string{"NM0005", "NM0603", "NM0703"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("a pipe is waited for")
	}
}

// TestLockElsewhere: a lock that is a link stays in the fleet's folder.
func TestLockElsewhere(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	write(t, other, "secret", "nixmesh-lock 1\nhunter2\n")
	if err := os.Symlink(filepath.Join(other, "secret"), filepath.Join(dir, LockFile)); err != nil {
		t.Fatal(err)
	}
	if _, found := ReadLock(dir); len(found) != 1 || found[0].Code != "NM0005" || found[0].Detail != "nixmesh.lock leaves the fleet's folder." {
		t.Errorf("got %v", found)
	}
	if text, err := ReadLockText(dir); text != nil || err == nil {
		t.Errorf("got %q, %v", text, err)
	}
	if err := os.Remove(filepath.Join(dir, LockFile)); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "kept/lock", lockHeader+"\n")
	if err := os.Symlink("kept/lock", filepath.Join(dir, LockFile)); err != nil {
		t.Fatal(err)
	}
	if l, found := ReadLock(dir); l == nil {
		t.Errorf("got %v", found)
	}
}
