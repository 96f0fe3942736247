package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// checkNames holds the names of variables and secrets (NM0313): each name comes
// from one place, and secret_env names secrets.
func (d *decoder) checkNames(s *Service, b *block) {
	env, secrets := d.ownNames(b, "env"), d.ownNames(b, "secrets")
	d.checkClashes(b, env, secrets, env, secrets)
	if !runsUnits(b) {
		d.checkGiven(s, b, env, secrets)
	}
	for _, v := range b.all("version") {
		own, ownSecrets := d.ownNames(v, "env"), d.ownNames(v, "secrets")
		d.checkClashes(v, own, ownSecrets, over(env, own), over(secrets, ownSecrets))
		if !runsUnits(b) {
			d.checkGiven(s, v, own, ownSecrets)
		}
	}
	d.checkSecretEnv(s, b)
}

// ownNames are the names that a block's map holds, with their places.
func (d *decoder) ownNames(b *block, name string) map[string]hcl.Range {
	names := map[string]hcl.Range{}
	a := b.attrs[name]
	if a == nil || !d.readable(a) {
		return names
	}
	v, _ := d.value(a)
	places := entryPlaces(a.expr)
	for key := range v.AsValueMap() {
		names[key] = a.expr.Range()
		if at, written := places[key]; written {
			names[key] = at.key
		}
	}
	return names
}

// checkClashes refuses a variable that is also a secret, or its file. One of the
// two stands in the block itself; allEnv and allSecrets hold the service's, too.
func (d *decoder) checkClashes(b *block, env, secrets, allEnv, allSecrets map[string]hcl.Range) {
	for _, secret := range slices.Sorted(maps.Keys(allSecrets)) {
		for _, name := range []string{secret, secret + "_FILE"} {
			_, inEnv := allEnv[name]
			inBlock, ok := env[name]
			if !ok {
				inBlock, ok = secrets[secret]
			} else if r, both := secrets[secret]; both {
				inBlock = lower(inBlock, r)
			}
			if !inEnv || !ok {
				continue
			}
			p := problem{code: "NM0313", rng: inBlock, block: b.title, detail: fmt.Sprintf("%s is a secret and a variable of env.", name), hint: "keep one of the two"}
			if name != secret {
				p.detail = fmt.Sprintf("%s is the path of the secret %s already.", name, secret)
				p.hint = "delete it from env, or name one of the two otherwise"
			}
			d.add(p)
		}
	}
}

// checkGiven refuses variables that nixmesh sets itself: a secret's value, or its
// path, would take their place.
func (d *decoder) checkGiven(s *Service, b *block, env, secrets map[string]hcl.Range) {
	for _, name := range givenVariables(s) {
		p := problem{code: "NM0313", block: b.title, detail: fmt.Sprintf("%s is given by nixmesh.", name), hint: "delete it, or use another name"}
		if rng, written := env[name]; written {
			p.rng = rng
			if strings.HasPrefix(name, "PORT") {
				p.hint = "delete it; a fixed port stands in the listen: port = 8080"
			}
			d.add(p)
		}
		p.hint = "give the secret another name"
		if rng, written := secrets[name]; written {
			p.rng = rng
			d.add(p)
		}
		secret, isFile := strings.CutSuffix(name, "_FILE")
		if rng, written := secrets[secret]; written && isFile {
			p.rng, p.detail = rng, fmt.Sprintf("%s is given by nixmesh, and would be the path of the secret %s.", name, secret)
			d.add(p)
		}
	}
}

// checkSecretEnv holds secret_env against the secrets of the service and of its
// versions.
func (d *decoder) checkSecretEnv(s *Service, b *block) {
	if len(s.SecretEnv) == 0 || b.refused["version"] {
		return
	}
	for _, part := range append(b.all("version"), b) {
		if part.refused["secrets"] || part.has("secrets") && !d.readable(part.attrs["secrets"]) {
			return // what would be known was refused
		}
	}
	known := map[string]*Secret{}
	for _, v := range s.Variants() {
		maps.Copy(known, v.Secrets)
	}
	seen := map[string]bool{}
	for _, it := range d.items(b, "secret_env") {
		name, isText := plain(it.value).(string)
		if isText && seen[name] {
			d.add(problem{code: "NM0107", rng: it.rng, block: b.title, detail: fmt.Sprintf("%q stands here twice.", name), hint: "keep one"})
			continue
		}
		seen[name] = isText
		secret, isFile := strings.CutSuffix(name, "_FILE")
		if isText && known[name] != nil && isFile && known[secret] != nil {
			d.add(problem{code: "NM0313", rng: it.rng, block: b.title, detail: fmt.Sprintf("%s is the path of the secret %s already.", name, secret),
				hint: "take it out of secret_env, or name one of the two secrets otherwise"})
		}
		if !isText || known[name] != nil {
			continue
		}
		hint := didYouMean(name, slices.Collect(maps.Keys(known)), "the secrets are")
		if hint == "" {
			hint = fmt.Sprintf("add secrets = { %s = \"secrets/FILE.age\" }", name)
		}
		d.add(problem{code: "NM0313", rng: it.rng, block: b.title, detail: fmt.Sprintf("The service has no secret %q.", name), hint: hint})
	}
}
