package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const testFleet = `fleet "shop" {
  nixpkgs = "github:NixOS/nixpkgs/nixos-26.05"
}

operator "anna" {
  ssh     = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINRu38q/QgCaVk/IrsdZG8pOsCkTgnvQqZb8fRbZm95h anna"]
  nix_key = "anna-1:scSNUqwvlTCzaZd0B4oIr8B9f7Jx7QDKDmHal4RCx5E="
}

host "app1" {
  address = "10.0.0.21"
}

service "web" {
  on      = ["app1"]
  package = "shop-web"
  exec    = "bin/web --listen 127.0.0.1:$PORT"

  listen "http" {}
  check { http = "/healthz" }
}
`

// specCommand runs one command line in a folder, as a process would.
func specCommand(t *testing.T, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }, now: time.Now}
	code = execute(context.Background(), a, append([]string{"-C", dir}, args...))
	return out.String(), errs.String(), code
}

func fleetDir(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nixmesh.hcl"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestValidate(t *testing.T) {
	out, errs, code := specCommand(t, fleetDir(t, testFleet), "validate")
	if out != "fleet shop: 1 host, 1 service, 0 warnings. Valid.\n" || errs != "" || code != exitOK {
		t.Errorf("got %q, %q, %d", out, errs, code)
	}
	bad := strings.Replace(testFleet, "exec ", "exek ", 1)
	out, errs, code = specCommand(t, fleetDir(t, bad), "validate")
	want := `╷
│ Error: Unknown argument  NM0102
│
│   nixmesh.hcl:17, in service "web"
│   17:   exek    = "bin/web --listen 127.0.0.1:$PORT"
│         ^^^^
│ A service block has no argument named "exek".
│
│ hint: did you mean "exec"?
╵
1 error in 1 file. Nothing was built or contacted.   nixmesh explain NM0102
`
	if out != "" || errs != want || code != exitInvalid {
		t.Errorf("got %q, %d, stderr\n%s", out, code, errs)
	}
	out, _, code = specCommand(t, fleetDir(t, bad), "validate", "-o", "json")
	if !strings.HasPrefix(out, `{"schema":"nixmesh.diagnostics/1","diagnostics":[{"code":"NM0102"`) || code != exitInvalid {
		t.Errorf("got %q, %d", out, code)
	}
}

func TestValidateStrict(t *testing.T) {
	dir := fleetDir(t, strings.Replace(testFleet, "  check { http = \"/healthz\" }\n", "", 1))
	if _, errs, code := specCommand(t, dir, "validate"); code != exitOK || !strings.Contains(errs, "Warning: Service without check  NM0311") {
		t.Errorf("got %d, %s", code, errs)
	}
	if _, errs, code := specCommand(t, dir, "validate", "--strict"); code != exitInvalid || !strings.Contains(errs, "Error: Service without check  NM0311") {
		t.Errorf("got %d, %s", code, errs)
	}
}

func TestValidateOtherVersion(t *testing.T) {
	dir := fleetDir(t, strings.Replace(testFleet, "nixpkgs =", "nixmesh = \"9.x\"\n  nixpkgs =", 1))
	if _, errs, code := specCommand(t, dir, "validate"); code != exitRefused || !strings.Contains(errs, "NM0008") {
		t.Errorf("got %d, %s", code, errs)
	}
}

func TestFmt(t *testing.T) {
	dir := fleetDir(t, strings.Replace(testFleet, "address = ", "address=", 1))
	out, errs, code := specCommand(t, dir, "fmt", "--check")
	if out != "nixmesh.hcl\n" || code != exitFailed || !strings.Contains(errs, "nixmesh fmt") {
		t.Errorf("got %q, %q, %d", out, errs, code)
	}
	if out, _, code = specCommand(t, dir, "fmt"); out != "nixmesh.hcl\n" || code != exitOK {
		t.Errorf("got %q, %d", out, code)
	}
	if out, _, code = specCommand(t, dir, "fmt", "--check", filepath.Join(dir, "nixmesh.hcl")); out != "" || code != exitOK {
		t.Errorf("got %q, %d", out, code)
	}
	text, err := os.ReadFile(filepath.Join(dir, "nixmesh.hcl"))
	if err != nil || string(text) != testFleet {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestLock(t *testing.T) {
	dir := fleetDir(t, testFleet)
	out, _, code := specCommand(t, dir, "lock")
	if out != "  + addr web 127.64.0.1\n  + port web 20000\n  + uid nm-web 32000\nnixmesh.lock changed: commit it.\n" || code != exitOK {
		t.Errorf("got %q, %d", out, code)
	}
	if out, _, _ = specCommand(t, dir, "lock"); out != "nixmesh.lock is up to date.\n" {
		t.Errorf("got %q", out)
	}
	if out, _, code = specCommand(t, dir, "lock", "--renumber", "port web"); !strings.Contains(out, "+ port web 20001") || code != exitOK {
		t.Errorf("got %q, %d", out, code)
	}
}
