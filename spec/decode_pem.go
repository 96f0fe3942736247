package spec

import (
	"encoding/pem"
	"fmt"
	"path/filepath"
	"strings"
)

// pemFile reads the path of a chain of certificates. The file is copied to the
// store, so it may hold no private key (NM0006).
func (d *decoder) pemFile(it item, code string) (string, bool) {
	file, ok := d.file(it)
	if !ok {
		return "", false
	}
	text, err := readRegular(filepath.Join(d.dir, filepath.FromSlash(file)), maxFileSize)
	if err != nil {
		d.add(problem{code: "NM0005", rng: it.rng, block: it.a.title, detail: fmt.Sprintf("%s is not a file that can be read.", file), hint: "name a PEM file"})
		return "", false
	}
	certificates := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if strings.Contains(block.Type, "PRIVATE KEY") {
			d.add(problem{code: "NM0006", rng: it.rng, block: it.a.title, detail: fmt.Sprintf("%s holds a private key, and would be copied to the store, where everybody can read it.", file),
				hint: "take the key out: nixmesh secret set secrets/NAME-key.age < KEYFILE, and key = \"secrets/NAME-key.age\""})
			return file, true
		}
		if block.Type == "CERTIFICATE" {
			certificates++
		}
	}
	if certificates == 0 {
		d.add(problem{code: code, rng: it.rng, block: it.a.title, detail: fmt.Sprintf("%s holds no certificate in PEM.", file), hint: `it begins with "-----BEGIN CERTIFICATE-----"`})
	}
	return file, true
}
