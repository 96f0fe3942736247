package compile_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// unit is what a unit is made of, as Nix evaluates it.
type unit struct {
	After           []string          `json:"after,omitempty"`
	Wants           []string          `json:"wants,omitempty"`
	WantedBy        []string          `json:"wantedBy,omitempty"`
	RestartIfChange *bool             `json:"restartIfChanged,omitempty"`
	Strategy        string            `json:"overrideStrategy,omitempty"`
	Environment     map[string]string `json:"environment,omitempty"`
	Service         map[string]any    `json:"serviceConfig,omitempty"`
	Timer           map[string]any    `json:"timerConfig,omitempty"`
}

// sandboxed settings are told by host.json's golden and judged by
// TestHardening.
var sandboxed = []string{"Bind", "Capabilit", "Lock", "NoNewPrivileges", "Private", "Proc", "Protect", "RemoveIPC", "RestrictA", "RestrictN", "RestrictR", "RestrictS", "SystemCall", "TemporaryFileSystem", "UMask"}

// TestUnits evaluates the units HOST/UNIT of a fleet that uses all that the
// language has for them; what another package set gives every unit is left out.
func TestUnits(t *testing.T) {
	t.Parallel()
	const file = "testdata/eval/units/units.txtar"
	wanted, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := txtar.ParseFile("testdata/eval/language.txtar")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorkspace(t, extract(t, archive))
	w.compile(t)
	changed := false
	for i := range wanted.Files {
		f := &wanted.Files[i]
		host, name, _ := strings.Cut(f.Name, "/")
		kind := "services"
		if filepath.Ext(name) == ".timer" {
			kind = "timers"
		}
		text, err := w.nix.run(t, "eval", "--json", "path:"+w.build+"#nixosConfigurations."+host+".config.systemd."+kind, "--apply",
			`all: let u = all."`+strings.TrimSuffix(name, filepath.Ext(name))+`"; in builtins.intersectAttrs
			{ after = 0; wants = 0; wantedBy = 0; restartIfChanged = 0; overrideStrategy = 0; environment = 0; serviceConfig = 0; timerConfig = 0; } u`)
		if err != nil {
			t.Fatal(err)
		}
		got := readableUnit(t, text)
		if diff := cmp.Diff(string(f.Data), got); diff != "" {
			if !*update {
				t.Errorf("%s (-want +got; run with -update to accept):\n%s", f.Name, diff)
			}
			f.Data, changed = []byte(got), true
		}
	}
	if *update && changed {
		write(t, file, txtar.Format(wanted), 0o644)
	}
}

func readableUnit(t *testing.T, text string) string {
	t.Helper()
	var u unit
	if err := json.Unmarshal([]byte(storeHash.ReplaceAllString(text, "/nix/store/")), &u); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"PATH", "LOCALE_ARCHIVE", "TZDIR"} {
		delete(u.Environment, name)
	}
	for name := range u.Service {
		if slices.ContainsFunc(sandboxed, func(part string) bool { return strings.Contains(name, part) }) {
			delete(u.Service, name)
		}
	}
	b, err := json.MarshalIndent(u, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}
