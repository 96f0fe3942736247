package e2e

import (
	"strings"
	"testing"
)

// testRehearsal: what Envoy would refuse ends a plan, a deploy and an apply before
// anything is signed or sent, with the line of the spec. Its service is plain.
func (f *fleet) testRehearsal(t *testing.T) {
	plain := func(more string) {
		f.set("service plain", echoService("plain", everyHost, "--http", listenHTTP, checkHTTP, more))
	}
	before := f.document("h1").Version
	// The spec takes it: only Envoy knows how large its program is.
	plain(`  route "~/` + strings.Repeat(`\\pL{1000}`, 3) + `" { timeout = "30s" }`)
	f.run("validate").want(t, 0)
	for _, r := range []result{f.run("plan"), f.deploy(), f.run("mesh", "apply", "-y")} {
		r.want(t, 3).says(t, "Envoy would refuse what it is told; nothing was changed", "nixmesh.hcl:", "program size", "(on h1)")
	}
	f.wantDocument(t, before)
	plain(`  route "/slow/" { timeout = "30s" }`)
	f.wantTaken(t, f.run("mesh", "apply", "-y"))
	plain("")
	f.wantTaken(t, f.run("mesh", "apply", "-y"))
	f.wantDocument(t, before+2)
}
