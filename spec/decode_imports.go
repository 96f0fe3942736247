package spec

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// imports reads NixOS modules: files of the fleet's folder and outputs of inputs.
func (d *decoder) imports(f *Fleet, b *block) []Import {
	var imports []Import
	for _, it := range d.items(b, "imports") {
		text, ok := d.asText(it)
		if !ok {
			continue
		}
		i := Import{Place: it.a.place()}
		i.Place.Line = it.rng.Start.Line
		if input, attr, isFlake := strings.Cut(text, "#"); isFlake {
			if !d.pattern(`^` + attributePath + `$`).MatchString(attr) {
				d.wrong(it, fmt.Sprintf("%q is not INPUT#nixosModules.NAME.", text), `imports = ["disko#nixosModules.disko"]`)
				continue
			}
			if !d.knownInput(f, it, input) {
				continue
			}
			i.Input, i.Attr = input, attr
		} else if i.Path, ok = d.file(it); !ok || d.noModule(it, i.Path) {
			continue
		}
		imports = append(imports, i)
	}
	return imports
}

// noModule refuses a folder that holds no default.nix, which is what Nix reads of
// one (NM0005).
func (d *decoder) noModule(it item, path string) bool {
	folder := filepath.Join(d.dir, filepath.FromSlash(path))
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return false
	}
	if _, err := os.Stat(filepath.Join(folder, "default.nix")); err == nil {
		return false
	}
	d.add(problem{code: "NM0005", rng: it.rng, block: it.a.title, detail: fmt.Sprintf("%s is a folder without a default.nix, which is what Nix would read.", path),
		hint: "name the file of the module in it, or add a default.nix"})
	return true
}
