package compile_test

import (
	"context"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var overallExposure = regexp.MustCompile(`Overall exposure level for .*: ([0-9.]+) `)

// TestHardening lets systemd judge the units that real Nix has built. 2.0 is
// what the reference promises of harden = "strict", with a low port and with
// code that is compiled at run time, too.
func TestHardening(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/eval/harden.txtar")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorkspace(t, extract(t, archive))
	w.compile(t)
	units := w.units(t, "app1")
	for unit, most := range map[string]float64{"strict": 2.0, "strict-nojit": 2.0, "strict-low": 2.0, "default": 5.0} {
		t.Run(unit, func(t *testing.T) {
			t.Parallel()
			exposure, table := w.exposure(t, filepath.Join(units, unit+".service"))
			t.Logf("%s: %.1f", unit, exposure)
			if exposure > most {
				t.Errorf("%s is exposed by %.1f, more than %.1f:\n%s", unit, exposure, most, table)
			}
		})
	}
}

// units builds a host's unit files and names their folder.
func (w *workspace) units(t *testing.T, host string) string {
	t.Helper()
	path, err := w.nix.run(t, "build", "--no-link", "--print-out-paths",
		"path:"+w.build+`#nixosConfigurations.`+host+`.config.environment.etc."systemd/system".source`)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// exposure asks systemd-analyze how open a unit is, from 0 to 10.
func (w *workspace) exposure(t *testing.T, unit string) (exposure float64, table string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), evaluation)
	defer cancel()
	out, err := w.nix(ctx, nil, "systemd-analyze", "security", "--offline=true", "--no-pager", unit).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m := overallExposure.FindSubmatch(out)
	if m == nil {
		t.Fatalf("systemd-analyze does not rate it:\n%s", out)
	}
	if exposure, err = strconv.ParseFloat(string(m[1]), 64); err != nil {
		t.Fatal(err)
	}
	return exposure, string(out)
}
