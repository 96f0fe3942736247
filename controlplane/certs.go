package controlplane

import (
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/ca"
	"github.com/nixmesh/nixmesh/trust"
)

// Certs are the certificates that this host holds, of every level.
func (a *Agent) Certs() agentapi.Certs {
	now := a.opts.Clock.Now()
	keeper, issuer := a.certificates.keeper.Status(), a.certificates.issuer.Status()
	c := agentapi.Certs{
		Schema: agentapi.CertsSchema, Host: a.host, Time: now,
		Roots: []agentapi.Cert{}, Leaves: []agentapi.Cert{}, Authorities: []agentapi.Answerer{},
		Requested: issuer.Requested, Issued: issuer.Issued,
	}
	for _, n := range issuer.Refused {
		c.Refused += n
	}
	if fleet := a.certificates.current(); fleet != nil {
		c.TrustDomain = string(fleet.Roots.Domain)
		for _, root := range fleet.Roots.Roots() {
			life := trust.LifeOf(root)
			c.Roots = append(c.Roots, agentapi.Cert{
				Name: trust.CAName(root), From: life.From, Until: life.Until, Level: life.CALevel(now).String(),
			})
		}
	}
	if issuer.Authority && issuer.Name != "" {
		c.Authority = &agentapi.Cert{
			Name: issuer.Name, From: issuer.Life.From, Until: issuer.Life.Until, Level: issuer.Level.String(),
			Renews: issuer.Life.At(0.5),
		}
	}
	for _, i := range keeper.Identities {
		c.Leaves = append(c.Leaves, leafStatus(i, now))
	}
	for _, p := range keeper.Authorities {
		c.Authorities = append(c.Authorities, agentapi.Answerer{
			Host: p.Host, Failures: p.Failures, Retry: p.Retry, SkewMS: p.Skew.Milliseconds(), Error: p.Error,
		})
	}
	return c
}

func leafStatus(i ca.IdentityStatus, now time.Time) agentapi.Cert {
	c := agentapi.Cert{
		Name: i.Service, ID: i.ID, From: i.Life.From, Until: i.Life.Until, Renews: i.Renews, Issuer: i.Issuer,
		Level: i.Level.String(), Placed: i.Placed, Problem: i.Error,
	}
	switch {
	case i.ID == "":
		c.Level, c.Renews = agentapi.LevelExpired, time.Time{}
		if c.Problem == "" {
			c.Problem = "it was not issued yet"
		}
	case i.Unknown:
		c.Problem = "the roots of this host do not vouch for it: the host wants a deploy"
	case i.Unsaved && c.Problem == "":
		c.Problem = "it is not on disk, and would be lost in a restart"
	}
	return c
}

// watchCerts tells watchers when a certificate comes into another level.
func (a *Agent) watchCerts() {
	for _, i := range a.certificates.keeper.Status().Identities {
		level := i.Level
		before, known := a.levels[i.Service]
		a.levels[i.Service] = level
		if known && before != level {
			a.tellCert(i.Service, "its certificate is "+level.String())
		}
	}
}
