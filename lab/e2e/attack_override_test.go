package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// drain is an override that an operator signs with a key.
func drain(t *testing.T, host string, at time.Time, cleared bool, namespace string, key trust.SSHKey) *catalog.Override {
	t.Helper()
	o, err := catalog.Seal(catalog.Override{Kind: catalog.Drain, Host: host, Cleared: cleared, Stamp: catalog.HLC{}.After(at, "lab")}, func(message []byte) ([]byte, error) {
		s, err := trust.Sign(key.Signer, namespace, message)
		return []byte(s), err
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// wantRefused fails unless the agent answered with a reason.
func wantRefused(t *testing.T, what string, err error, reason string) {
	t.Helper()
	var failure *agentapi.Failure
	if !errors.As(err, &failure) || !strings.Contains(failure.Text, reason) {
		t.Errorf("%s: want a refusal with %q, got %v", what, reason, err)
	}
}

// testOverrides: overrides that nobody may write, or that are over.
func (i *intrusion) testOverrides(t *testing.T) {
	const purpose = "nixmesh-override"
	own, lab := i.steal(t, "h2"), i.operatorKey(t)
	stranger, err := trust.GenerateSSHKey("stranger")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	before := drain(t, "h1", began, false, purpose, lab)
	if err := i.h1.client.Override(asking(t), before.Bytes()); err != nil {
		t.Fatal(err)
	}
	i.h3.sees(t, "web", "h1", agentapi.EndpointDraining)
	if err := i.h1.client.Override(asking(t), drain(t, "h1", time.Now(), true, purpose, lab).Bytes()); err != nil {
		t.Fatal(err)
	}
	i.h3.sees(t, "web", "h1", agentapi.EndpointHealthy)

	l := i.from.line(t, i.h3.seat, own)
	tell := func(o *catalog.Override, age time.Duration) (taken uint64) {
		taken, _ = l.trade(t, &catalog.Delta{Overrides: []catalog.Carried{{Override: o, Age: age}}})
		return taken
	}
	wantRefused(t, "the same again", i.h3.client.Override(asking(t), before.Bytes()), "written over later")
	for _, age := range []time.Duration{0, time.Since(began)} {
		if taken := tell(before, age); taken != 0 {
			t.Errorf("an old override was taken, %s old", age)
		}
	}
	byNode := func() *catalog.Override {
		o, err := catalog.Seal(catalog.Override{Kind: catalog.Drain, Host: "h1", ByNode: true, Stamp: catalog.HLC{}.After(time.Now(), "h1")}, own.sign)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	by := func(host string, ahead time.Duration, namespace string, key trust.SSHKey) func() *catalog.Override {
		return func() *catalog.Override { return drain(t, host, time.Now().Add(ahead), false, namespace, key) }
	}
	for _, c := range []struct {
		what, reason string
		o            func() *catalog.Override // of now: the clock is looked at before the signature
	}{
		{"h1's drain, signed by h2", "signature", byNode},
		{"by a key that is no operator's", "none of the", by("h1", 0, purpose, stranger)},
		{"for another purpose", "another purpose", by("h1", 0, mesh.Namespace, lab)},
		{"an hour old, told as new", "clocks differ", by("h3", -time.Hour, purpose, lab)},
		{"of tomorrow", "clocks differ", by("h3", 24*time.Hour, purpose, lab)},
	} {
		wantRefused(t, c.what, i.h3.client.Override(asking(t), c.o().Bytes()), c.reason)
		i.h3.refuses(t, refusedByCatalog, "", 1, c.reason, func() {
			if taken := tell(c.o(), 0); taken != 0 {
				t.Errorf("%s: taken", c.what)
			}
		})
	}
	if s := i.h3.status(t); len(s.Overrides) != 0 {
		t.Errorf("in force: %+v", s.Overrides)
	}
	i.h3.wantWell(t)
}
