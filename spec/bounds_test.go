package spec

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTooMuch holds what a few lines, or a few megabytes, could ask for: each is
// refused with a diagnostic, soon.
func TestTooMuch(t *testing.T) {
	many := func(n int, line string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(line, "@", fmt.Sprint(i)))
		}
		return b.String()
	}
	list := "locals {\n  l = [" + many(20000, `"@",`) + "]\n"
	const service = "service \"s@\" {\n  on = [\"*\", \"!h@\"]\n  package = \"p\"\n  exec = \"e\"\n  check { exec = \"c\" }\n}\n"
	// The time of this thread alone: a busy machine must not count.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for name, c := range map[string]struct{ code, text string }{
		"entries of different types": {"NM0210", "locals {\n  a = true ? [" + many(2000, "{a@ = 1},") + "] : [1]\n}\n"},
		"arguments":                  {"NM0210", "locals {\n  a = coalesce(" + many(2000, "{a@ = 1},") + "1)\n}\n"},
		"distinct":                   {"NM0210", list + "  a = distinct(local.l)\n}\n"},
		"split":                      {"NM0210", "locals {\n  s = \"" + strings.Repeat(",", 1<<19) + "\"\n  a = split(\",\", local.s)\n}\n"},
		"splats":                     {"NM0210", list + many(40, "  a@ = local.l"+strings.Repeat("[*]", 50)+"\n") + "}\n"},
		"calls":                      {"NM0210", list + "  a = [for x in local.l : contains(local.l, x)]\n}\n"},
		"placements":                 {"NM0210", many(1500, "host \"h@\" {\n  address = \"fd00::@\"\n}\n") + many(1500, service)},
		"blocks in a block":          {"NM0210", "service \"s\" {\n" + strings.Repeat("  check { exec = \"c\" }\n", maxInner+1) + "}\n"},
		"a long command":             {"NM0304", "service \"s\" {\n  on = [\"*\"]\n  package = \"p\"\n  exec = \"" + strings.Repeat("a", 300<<10) + "\"\n}\n"},
		"long variables":             {"NM0303", "service \"s\" {\n  on = [\"*\"]\n  package = \"p\"\n  exec = \"e\"\n  before_start = [" + strings.Repeat("\"e $"+strings.Repeat("a", 60000)+"\",", 60) + "]\n}\n"},
		"unknown variables":          {"NM0303", "service \"s\" {\n  on = [\"*\"]\n  package = \"p\"\n  exec = \"e\"\n  before_start = [" + strings.Repeat("\"e "+strings.Repeat("$a ", 4000)+"\",", 20) + "]\n}\n"},
		"lone dollars":               {"NM0001", "locals {\n  a = \"" + strings.Repeat("$ ", 100_000) + "\"\n}\n"},
		"lone percents in parts":     {"NM0001", "locals {\n  a = [" + strings.Repeat("\""+strings.Repeat("% ", 10_000)+"\",", 150) + "]\n}\n"},
		"lines":                      {"NM0001", "locals {\n  a = <<EOT\n" + strings.Repeat("\n", 1<<20) + "EOT\n}\n"},
		"words":                      {"NM0001", "locals {\n  a = [" + strings.Repeat("1,", maxWords/2) + "]\n}\n"},
		"mistakes":                   {"NM0102", "service \"s\" {\n" + many(20000, "  argument@ = 1\n") + "}\n"},
		"names":                      {"NM0201", "locals {\n" + many(20000, "  a@ = local.b@\n") + "}\n"},
	} {
		dir := t.TempDir()
		write(t, dir, "nixmesh.hcl", base)
		write(t, dir, "in.hcl", c.text)
		started := threadTime(t)
		l := Load(dir, Options{})
		took := threadTime(t) - started
		codes := map[string]int{}
		for _, d := range l.Diagnostics {
			codes[d.Code]++
		}
		if codes[c.code] == 0 || len(l.Diagnostics) > 2*maxProblems || took > 20*time.Second {
			t.Errorf("%s: %v in %v", name, codes, took)
		}
	}
}

// threadTime is the processor time of the calling thread.
func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestLongLists: what is long but plain is no bomb.
func TestLongLists(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "nixmesh.hcl", base)
	write(t, dir, "in.hcl", "locals {\n  l = ["+strings.Repeat(`"a",`, 20000)+`]
  a = concat(local.l, local.l)
  b = true ? local.l : ["x"]
  c = flatten([local.l, local.l])
  n = length(local.a) > 0 ? [local.b, local.c] : []
}
service "s" {
  on      = ["*"]
  package = "p"
  exec    = "e"
  check { exec = "c" }
  env = { N = length(local.n) }
}
`)
	if l := Load(dir, Options{}); l.Fleet == nil || l.Fleet.Services[0].Env["N"] != "2" {
		t.Error(l.Diagnostics)
	}
}

// TestLongTexts: a long script is no bomb, nor is a long word.
func TestLongTexts(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "nixmesh.hcl", base)
	write(t, dir, "in.hcl", `service "s" {
  on      = ["*"]
  package = "p"
  exec    = "e `+strings.Repeat("a", maxCommand-2)+`"
  check { exec = "c" }
  env = { A = <<EOT
`+strings.Repeat("if [ $# -gt 100 ]; then echo 100 %; fi\n", 5000)+`EOT
  }
}
`)
	if l := Load(dir, Options{}); l.Fleet == nil || len(l.Fleet.Services[0].Exec.Words[1][0].Text) != maxCommand-2 {
		t.Error(l.Diagnostics)
	}
	word := strings.Repeat(`a\b`, maxCommand/3)
	if n := testing.AllocsPerRun(1, func() { _, _ = splitCommand(word) }); n > 100 {
		t.Errorf("a word of %d bytes is put together in %.0f steps", len(word), n)
	}
}

// TestLoneSignsInJSON: the texts of JSON are parsed one by one, and bounded together.
func TestLoneSignsInJSON(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "nixmesh.hcl", base)
	text := `"${1}` + strings.Repeat("$ ", 10_000) + `"`
	write(t, dir, "in.hcl.json", `{"locals": {"a": [`+strings.Repeat(text+",", 150)+text+`]}}`)
	if l := Load(dir, Options{}); len(l.Diagnostics) != 1 || l.Diagnostics[0].Code != "NM0001" {
		t.Errorf("%.2000s", fmt.Sprint(l.Diagnostics))
	}
}
