package spec

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// auth decodes a way to tell who calls from outside (NM0417).
func (d *decoder) auth(b *block) *Auth {
	a := &Auth{
		Name:    b.label,
		Place:   b.place(),
		Issuer:  d.text(b, "issuer"),
		JWKS:    d.jwks(b),
		Claims:  d.claims(b),
		Service: d.target(b, "service"),
		Timeout: d.duration(b, "timeout"),
	}
	a.Audiences, _ = d.texts(b, "audiences")
	bad := func(rng hcl.Range, detail string) {
		d.add(problem{code: "NM0417", rng: rng, block: b.title, detail: detail,
			hint: `by token: issuer = "https://login.example" with jwks = "certs/jwks.json"; by asking: service = "login"`})
	}
	switch {
	case b.has("jwks") && b.has("service"):
		bad(lower(b.attrs["jwks"].key, b.attrs["service"].key), "An auth goes by a token (jwks) or asks a service, not both.")
	case !b.meant("jwks") && !b.meant("service"):
		bad(b.header, "The auth says neither by which keys (jwks) nor by which service it decides.")
	case b.has("jwks") && !b.meant("issuer"):
		d.add(problem{code: "NM0417", rng: b.header, block: b.title, detail: "Nothing says whose tokens count: any issuer's would do.", hint: `add issuer = "https://login.example", as the tokens have it in "iss"`})
	case b.has("service"):
		for _, name := range []string{"issuer", "audiences", "claims"} {
			if b.has(name) {
				bad(b.attrs[name].key, fmt.Sprintf("%s is of a token, and this auth asks a service.", name))
				return a
			}
		}
	}
	return a
}

// claims reads which header carries a claim of a token to the service.
func (d *decoder) claims(b *block) map[string]string {
	members := d.members(b, "claims")
	claims := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		it := members[name].atValue()
		text, ok := d.asText(it)
		if !ok {
			continue
		}
		if header, ok := d.headerName(it, text); ok && d.ownHeader(it, header) {
			claims[name] = header
		}
	}
	return claims
}
