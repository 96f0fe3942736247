package spec

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// secrets reads the secrets of a service or version. A name whose value is
// wrong is kept, since commands and secret_env may use it.
func (d *decoder) secrets(b *block) map[string]*Secret {
	members := d.members(b, "secrets")
	secrets := map[string]*Secret{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		it := members[name]
		if !d.variable(it, name) {
			continue
		}
		s := &Secret{Place: it.place()}
		it = it.atValue()
		switch t := it.value.Type(); {
		case it.value.IsNull():
			d.badSecret(it, fmt.Sprintf("%q is null.", it.name))
		case t == cty.String:
			s.File, _ = d.path(it, true)
		case t.IsObjectType(), t.IsMapType():
			s.Path = d.secretPath(it)
		default:
			d.badSecret(it, fmt.Sprintf("%q is an age file or { path = \"/run/…\" }, this is %s.", it.name, typeName(it.value)))
		}
		secrets[name] = s
	}
	return secrets
}

// secretPath reads { path = "/run/…" }: a file that something else puts there.
func (d *decoder) secretPath(it item) string {
	fields := it.value.AsValueMap()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if name != "path" {
			d.badSecret(it, fmt.Sprintf("%q has no %q: a file of something else has a path, and nothing more.", it.name, name))
			return ""
		}
	}
	value, given := fields["path"]
	if !given {
		d.badSecret(it, fmt.Sprintf("%q has no path.", it.name))
		return ""
	}
	text, ok := d.asText(item{value: value, rng: it.rng, a: it.a, name: it.name + ".path"})
	if !ok {
		return ""
	}
	if !strings.HasPrefix(text, "/") || path.Clean(text) != text || text == "/" || strings.ContainsFunc(text, isControl) {
		d.badSecret(it, fmt.Sprintf("%q is not the absolute path of a file.", text))
		return ""
	}
	if text == "/nix/store" || strings.HasPrefix(text, "/nix/store/") {
		d.badSecret(it, "Every user of a host can read the Nix store.")
		return ""
	}
	return text
}

func (d *decoder) badSecret(it item, detail string) {
	d.add(problem{code: "NM0105", rng: it.rng, block: it.a.title, detail: detail,
		hint: `for example secrets = { DATABASE_URL = "secrets/db.age", TOKEN = { path = "/run/secrets/token" } }`})
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
