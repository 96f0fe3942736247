package arch

import (
	"crypto/sha256"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/nixmesh/nixmesh/nix"
)

// TestVendorHash holds the hash in nix/package.nix to the modules in go.sum:
// it is what Nix would compute of the folder that buildGoModule vendors.
func TestVendorHash(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vendor")
	vendor := exec.Command("go", "mod", "vendor", "-o", dir)
	vendor.Dir = "../.."
	if out, err := vendor.CombinedOutput(); err != nil {
		t.Fatalf("go mod vendor: %v\n%s", err, out)
	}
	hash := sha256.New()
	if err := nix.WriteNar(hash, dir); err != nil {
		t.Fatal(err)
	}
	want := "sha256-" + base64.StdEncoding.EncodeToString(hash.Sum(nil))
	text, err := os.ReadFile("../../nix/package.nix")
	if err != nil {
		t.Fatal(err)
	}
	have := regexp.MustCompile(`vendorHash = "([^"]*)"`).FindSubmatch(text)
	if have == nil || string(have[1]) != want {
		t.Errorf("nix/package.nix must have vendorHash = %q", want)
	}
}
