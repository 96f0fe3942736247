package spec

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// jwks reads where the keys of tokens are: a file of the fleet's folder, or a URL.
func (d *decoder) jwks(b *block) string {
	it, ok := d.item(b, "jwks")
	if !ok {
		b.arg("jwks", typeText)
		return ""
	}
	text, ok := d.asText(it)
	if !ok || !strings.Contains(text, "://") {
		return d.jwksFile(it)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
		d.wrong(it, fmt.Sprintf("%q is not a URL.", text), `jwks = "https://login.example/keys"`)
		return ""
	}
	return text
}

// jwksFile reads a JSON Web Key Set (RFC 7517 5). The file is copied to the store,
// so its keys are public ones (NM0006).
func (d *decoder) jwksFile(it item) string {
	file, ok := d.file(it)
	if !ok {
		return ""
	}
	bad := func(code, detail, hint string) string {
		d.add(problem{code: code, rng: it.rng, block: it.a.title, detail: detail, hint: hint})
		return file
	}
	text, err := readRegular(filepath.Join(d.dir, filepath.FromSlash(file)), maxFileSize)
	if err != nil {
		bad("NM0005", file+" is not a file that can be read.", "name a file in JSON")
		return ""
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	const form = `it is JSON like { "keys": [{ "kty": "EC", … }] }: what the issuer's jwks_uri gives`
	if err := json.Unmarshal(text, &set); err != nil || len(set.Keys) == 0 {
		return bad("NM0417", file+" is not a set of keys (JWKS).", form)
	}
	for i, key := range set.Keys {
		_, secret := key["d"] // RFC 7518 6.2.2.1, 6.3.2.1
		switch kind, _ := key["kty"].(string); {
		case secret || kind == "oct":
			return bad("NM0006", fmt.Sprintf("Key %d of %s is a private one, and would be copied to the store, where everybody can read it.", i+1, file),
				"keep public keys only; this one is known from now on: replace it at the issuer")
		case kind == "":
			return bad("NM0417", fmt.Sprintf("Key %d of %s has no type (kty).", i+1, file), form)
		}
	}
	return file
}
