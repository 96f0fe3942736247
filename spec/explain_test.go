package spec

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"
)

// surroundings is the rest of a small fleet, by block. A page's example gets
// those of fleet, operator and host that it lacks, and of the others those that
// it only names, so that examples stay short.
func surroundings() map[string]string {
	service := func(name string) string {
		return "service \"" + name + "\" {\n  on      = [\"@app\"]\n  package = \"shop-" + name + "\"\n  exec    = \"bin/" + name + " $PORT\"\n\n" +
			"  listen \"http\" {}\n  check { http = \"/healthz\" }\n}\n"
	}
	return map[string]string{
		`fleet "shop"`:    "fleet \"shop\" { nixpkgs = \"github:NixOS/nixpkgs/nixos-26.05\" }\n",
		`operator "anna"`: base[strings.Index(base, "operator"):strings.Index(base, "host")],
		`host "edge1"`:    "host \"edge1\" {\n  address = \"10.0.0.11\"\n  tags    = [\"edge\"]\n}\n",
		`host "app1"`:     "host \"app1\" {\n  address = \"10.0.0.21\"\n  tags    = [\"app\"]\n}\n",
		`host "app2"`:     "host \"app2\" {\n  address = \"10.0.0.22\"\n  tags    = [\"app\", \"canary\"]\n}\n",
		`host "db1"`:      "host \"db1\" {\n  address = \"10.0.0.31\"\n  tags    = [\"db\"]\n}\n",
		// Keeps hosts that an example does not use from being idle.
		`service "rest"`:       "service \"rest\" {\n  on      = [\"*\"]\n  package = \"rest\"\n  exec    = \"bin/rest\"\n  check { exec = \"bin/rest ping\" }\n}\n",
		`service "web"`:        service("web"),
		`service "api"`:        service("api"),
		`service "worker"`:     service("worker"),
		`service "billing"`:    service("billing"),
		`service "login"`:      service("login"),
		`service "api-backup"`: service("api-backup"),
		`service "postgres"`:   "service \"postgres\" {\n  on   = [\"db1\"]\n  unit = \"postgresql.service\"\n\n  listen \"tcp\" { port = 5432 }\n  check { tcp = true }\n}\n",
		`external "stripe"`:    "external \"stripe\" { hosts = [\"api.stripe.com:443\"] }\n",
	}
}

// alone are the codes whose examples are about what a fleet lacks: no blocks of
// these kinds are added.
func alone() map[string][]string {
	return map[string][]string{"NM0505": {"service"}, "NM0701": {"service"}}
}

// surround writes an example's files into a folder, with what they lack.
func surround(t *testing.T, code string, files []Example) (dir string, lab bool) {
	t.Helper()
	archive, text := &txtar.Archive{}, ""
	for _, f := range files {
		if f.Name == "" {
			f.Name = "in.hcl"
			if strings.Contains(f.Text, "fleet \"") {
				f.Name = rootFile
			}
		}
		if strings.HasSuffix(f.Name, ".hcl") && !isLab(f.Name) {
			text += f.Text
		}
		archive.Files = append(archive.Files, txtar.File{Name: f.Name, Data: []byte(f.Text)})
	}
	rest := ""
	for header, block := range surroundings() {
		kind, name, _ := strings.Cut(header, " ")
		named := slices.Contains([]string{"fleet", "operator", "host"}, kind) || header == `service "rest"` || strings.Contains(text, name)
		has := strings.Contains(text, header) || kind == "fleet" && strings.Contains(text, "fleet \"") || slices.Contains(alone()[code], kind)
		if named && !has {
			rest += block + "\n"
		}
	}
	name := rootFile
	if slices.ContainsFunc(archive.Files, func(f txtar.File) bool { return f.Name == rootFile }) {
		name = "rest.hcl"
	}
	if code != "NM0002" || name != rootFile {
		archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(rest)})
	}
	archive.Files = append(archive.Files, txtar.File{Name: "no-fleet"})
	return unpack(t, archive)
}

// elsewhere are the codes that do not come of reading the spec, or not of one
// that fits on a page, each with the test that provokes it.
func elsewhere() map[string]string {
	return map[string]string{
		"NM0001": "spec: TestDiagnostics/nm0001_*; bytes that are no text do not fit on a page",
		"NM0704": "spec: a range that is used up needs thousands of entries",
	}
}

// TestExplainPages holds every code to its page: the bad example provokes that
// code and nothing else, the good one nothing of the kind.
func TestExplainPages(t *testing.T) {
	for _, code := range Codes() {
		t.Run(code, func(t *testing.T) {
			x, _ := Explain(code)
			if x.Meaning == "" || x.Cause == "" || len(x.Bad) == 0 || len(x.Good) == 0 {
				t.Fatal("the page lacks its meaning, its cause, or an example")
			}
			if n := utf8.RuneCountInString(x.Meaning); n > 90 || !strings.HasSuffix(x.Meaning, ".") {
				t.Errorf("the meaning is one sentence of at most 100 characters, this has %d: %s", n, x.Meaning)
			}
			for line := range strings.Lines(x.Cause) {
				if utf8.RuneCountInString(line) > 81 {
					t.Errorf("a line is over 80 characters: %s", line)
				}
			}
			bad := exampleDiagnostics(t, code, slices.Concat(x.Bad, x.Shared))
			if len(bad) == 0 && elsewhere()[code] == "" {
				t.Error("the bad example provokes nothing")
			}
			for _, d := range bad {
				if d.Code != code {
					t.Errorf("the bad example provokes %v", d)
				}
			}
			for _, d := range exampleDiagnostics(t, code, slices.Concat(x.Good, x.Shared)) {
				t.Errorf("the good example provokes %v", d)
			}
		})
	}
}

// exampleDiagnostics is what validate says of an example.
func exampleDiagnostics(t *testing.T, code string, files []Example) Diagnostics {
	t.Helper()
	dir, lab := surround(t, code, files)
	l := Load(dir, Options{Lab: lab, Version: "0.3.1"})
	found := l.Diagnostics
	if l.Fleet == nil {
		return found
	}
	lock, bad := ReadLock(dir)
	found = append(found, bad...)
	if lock != nil && code == "NM0701" { // only where nothing may be allocated
		found = append(found, lock.Stale(l.Fleet)...)
	}
	if lock != nil {
		_, bad = lock.Allocate(l.Fleet)
		found = append(found, bad...)
	}
	return found
}

// TestExplainPagesAreKnown: no page outlives its code.
func TestExplainPagesAreKnown(t *testing.T) {
	pages, err := explainPages.ReadDir("explain")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if code := strings.TrimSuffix(page.Name(), ".txtar"); !slices.Contains(Codes(), code) {
			t.Errorf("%s explains no code", page.Name())
		}
	}
}

// TestExplainExamplesAreFormatted: what a page shows as right is in the
// canonical form, and what it shows as wrong, too, where it parses.
func TestExplainExamplesAreFormatted(t *testing.T) {
	for _, code := range Codes() {
		x, _ := Explain(code)
		for _, e := range slices.Concat(x.Bad, x.Good, x.Shared) {
			if e.Name != "" && !strings.HasSuffix(e.Name, ".hcl") {
				continue
			}
			if after, bad := Format(e.Name, []byte(e.Text)); len(bad) == 0 && string(after) != e.Text {
				t.Errorf("%s: %s is not in the form of nixmesh fmt; it would be\n%s", code, e.Name, after)
			}
		}
	}
}

// TestEveryCodeHasAGolden: the exact places of each code are held by a case of
// testdata/check, but for those that are provoked elsewhere.
func TestEveryCodeHasAGolden(t *testing.T) {
	goldens, err := filepath.Glob("testdata/check/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, golden := range goldens {
		text, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	own := []string{"NM0701", "NM0702", "NM0703", "NM0705"} // of nixmesh.lock: lock_test.go
	for _, code := range Codes() {
		if elsewhere()[code] == "" && !slices.Contains(own, code) && !strings.Contains(all.String(), " "+code+" ") {
			t.Errorf("no golden of testdata/check has %s", code)
		}
	}
}
