package lab

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestDefaultSystem(t *testing.T) {
	const entry = "title NixOS\nversion Generation 3\nlinux /EFI/nixos/k.efi\noptions init=/nix/store/c-three/init loglevel=4\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  string // the system, or a part of the error
	}{
		"named with .conf":    {map[string]string{"loader.conf": "timeout 5\ndefault nixos-generation-3.conf\n", "entries/nixos-generation-3.conf": entry}, "/nix/store/c-three"},
		"named without .conf": {map[string]string{"loader.conf": "default nixos-generation-3\n", "entries/nixos-generation-3.conf": entry}, "/nix/store/c-three"},
		"a pattern, the last": {map[string]string{"loader.conf": "default nixos-*\n", "entries/nixos-generation-3.conf": entry,
			"entries/nixos-generation-2.conf": "options init=/nix/store/b-two/init\n", "entries/other.conf": "options init=/x/init\n"}, "/nix/store/c-three"},
		"tabs":          {map[string]string{"loader.conf": "default\tx\n", "entries/x.conf": "options\tquiet init=/nix/store/a-one/init\n"}, "/nix/store/a-one"},
		"no loader":     {nil, "loader.conf"},
		"no default":    {map[string]string{"loader.conf": "timeout 5\n"}, "has no default"},
		"default gone":  {map[string]string{"loader.conf": "default nixos-generation-4.conf\n", "entries/nixos-generation-3.conf": entry}, `no entry matches the default "nixos-generation-4.conf"`},
		"entry no init": {map[string]string{"loader.conf": "default x\n", "entries/x.conf": "options quiet\n"}, "entry x.conf has no init= option"},
	} {
		t.Run(name, func(t *testing.T) {
			boot := t.TempDir()
			for path, text := range c.files {
				if err := writeFile(filepath.Join(boot, "loader", path), text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := defaultSystem(boot)
			if err != nil {
				got = err.Error()
			}
			if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
