package deploy

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// RiskExpiringCA accepts a root or an intermediate that soon ends.
const RiskExpiringCA = "expiring-ca"

// CA is what a deployer knows of the mesh's CA.
type CA struct {
	Roots       trust.Bundle
	Authorities []string      // hosts that may sign, of the lock
	TTL         time.Duration // of an intermediate
	Able        []string      // operators who may open the root
	// Open opens the root, and may ask for a passphrase. It is called when
	// something is to be signed, never twice at once, and answers the same again.
	Open func(ctx context.Context) (trust.Root, error)

	agent func(ctx context.Context, host string) (authorityAgent, error) // nil: Deployer.Agent
}

// operators says who can do something: "anna", "anna or bert".
func (c *CA) operators() string { return strings.Join(c.Able, " or ") }

// due says why an authority needs a new intermediate, "" where it does not: it
// has none, half of its life is over, or its root is one of the fleet no more.
func (c *CA) due(has *agentapi.Cert, now time.Time) string {
	if has == nil || has.Until.IsZero() {
		return "has no intermediate yet"
	}
	life := trust.Life{From: has.From, Until: has.Until}
	if level := life.CALevel(now); level != trust.LevelOK {
		return "the intermediate " + lifeText(life, now)
	}
	ours := func(root *x509.Certificate) bool { return trust.CAName(root) == has.Issuer }
	if has.Issuer != "" && !slices.ContainsFunc(c.Roots.Roots(), ours) {
		return fmt.Sprintf("the intermediate is of %s, which is no root of the fleet", has.Issuer)
	}
	return ""
}

// lifeText is "has 170 d left" or "ended 3 d ago".
func lifeText(life trust.Life, now time.Time) string {
	if left := life.Left(now); left > 0 {
		return "has " + daysText(left) + " left"
	}
	return "ended " + daysText(now.Sub(life.Until)) + " ago"
}

// daysText is a span of a CA's life: whole days, hours below two.
func daysText(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// CAPlan is what a plan says of the mesh's CA.
type CAPlan struct {
	Roots       []CACert `json:"roots"`
	Authorities []CACert `json:"authorities"`
	// Problem is why a deploy does not go on, nil where it may.
	Problem *Problem `json:"problem,omitempty"`

	able string // who can sign
}

// CACert is the certificate of a root or of an authority.
type CACert struct {
	Host  string    `json:"host,omitempty"` // of an authority
	Name  string    `json:"name,omitempty"`
	From  time.Time `json:"from,omitzero"` // zero where there is none, or nobody could be asked
	Until time.Time `json:"until,omitzero"`
	Level string    `json:"level,omitempty"`   // of agentapi; "" where there is none, or it is not known
	Due   string    `json:"due,omitempty"`     // why a new one is to be signed, in words
	Error string    `json:"unknown,omitempty"` // why nothing is known of it

	noAgent bool // it has none until it is deployed
}

// askTimeout bounds what one agent is given for its certificates: a plan does
// not wait for more than a person would.
const askTimeout = 10 * time.Second

// planCA says how old the CA's certificates are, nil without a CA. Agents are
// asked at once; one that does not answer leaves its line unknown.
func (d *Deployer) planCA(ctx context.Context, accept []string, seen map[string]*Seen) *CAPlan {
	if d.CA == nil {
		return nil
	}
	now := d.now()
	p := &CAPlan{able: d.CA.operators()}
	for _, root := range d.CA.Roots.Roots() {
		life := trust.LifeOf(root)
		p.Roots = append(p.Roots, CACert{Name: trust.CAName(root), From: life.From, Until: life.Until, Level: life.CALevel(now).String()})
	}
	p.Authorities = make([]CACert, len(d.CA.Authorities))
	each(d.CA.Authorities, len(d.CA.Authorities), func(host string) {
		c := &p.Authorities[slices.Index(d.CA.Authorities, host)]
		if s := seen[host]; s != nil && s.Err != nil {
			*c = d.CA.Authority(host, nil, s.Err, now)
			return
		}
		certs, err := d.Certs(ctx, host)
		*c = d.CA.Authority(host, certs, err, now)
	})
	if !slices.Contains(accept, RiskExpiringCA) {
		p.Problem = p.expiring(now)
	}
	if p.Problem != nil {
		p.Problem.Next = Typed(d.Fleet.Lab, p.Problem.Next)
	}
	return p
}

// Certs asks a host's agent for its certificates.
func (d *Deployer) Certs(ctx context.Context, host string) (*agentapi.Certs, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	agent, err := d.authorityAgent(ctx, host)
	if err != nil {
		return nil, err
	}
	defer agent.Close()
	return agent.Certs(ctx)
}

// Authority is the intermediate of a host, as its agent answered.
func (c *CA) Authority(host string, certs *agentapi.Certs, err error, now time.Time) CACert {
	switch {
	case errors.Is(err, ErrNoAgent):
		return CACert{Host: host, Due: c.due(nil, now), noAgent: true}
	case err != nil:
		return CACert{Host: host, Error: plain(host, err)}
	}
	has := certs.Authority
	a := CACert{Host: host, Due: c.due(has, now)}
	if has != nil && !has.Until.IsZero() {
		a.Name, a.From, a.Until = has.Name, has.From, has.Until
		a.Level = a.life().CALevel(now).String()
	}
	return a
}

// expiring is the refusal where a root or an intermediate ends within
// trust.RefuseCA, nil where none does. An authority without an intermediate is
// none that ends.
func (p *CAPlan) expiring(now time.Time) *Problem {
	ending := func(c CACert) bool {
		return !c.Until.IsZero() && (c.Level == agentapi.LevelCritical || c.Level == agentapi.LevelExpired)
	}
	first := func(a, b CACert) int { return cmp.Or(a.Until.Compare(b.Until), strings.Compare(a.Host, b.Host)) }
	roots := slices.DeleteFunc(slices.Clone(p.Roots), func(c CACert) bool { return !ending(c) })
	if slices.SortFunc(roots, first); len(roots) > 0 {
		return &Problem{Exit: ExitRefused, Text: fmt.Sprintf("%s %s, and every certificate ends with it", roots[0].Name, lifeText(roots[0].life(), now)),
			Next: "nixmesh deploy --accept " + RiskExpiringCA + "   goes on all the same"}
	}
	ends := slices.DeleteFunc(slices.Clone(p.Authorities), func(c CACert) bool { return !ending(c) })
	if slices.SortFunc(ends, first); len(ends) == 0 {
		return nil
	}
	return &Problem{Exit: ExitRefused, Text: fmt.Sprintf("the CA's intermediate of %s %s", ends[0].Host, lifeText(ends[0].life(), now)),
		Next: fmt.Sprintf("nixmesh ca renew   by %s; or nixmesh deploy --accept %s", p.able, RiskExpiringCA)}
}

func (c CACert) life() trust.Life { return trust.Life{From: c.From, Until: c.Until} }

// due are the authorities whose agents can take an intermediate now, and should.
func (p *CAPlan) due() []string {
	if p == nil {
		return nil
	}
	var hosts []string
	for _, c := range p.Authorities {
		if c.Due != "" && !c.noAgent {
			hosts = append(hosts, c.Host)
		}
	}
	return hosts
}

// newAuthorities are those that the plan's mesh configuration adds.
func (p *Plan) newAuthorities() []string {
	if p.Mesh == nil {
		return nil
	}
	var hosts []string
	for _, c := range p.Mesh.Changes {
		if c.Kind == mesh.KindAuthority && c.Op == "+" {
			hosts = append(hosts, c.Subject)
		}
	}
	return hosts
}

// Signs says whether carrying out the plan opens the CA's root, as far as can be
// told now.
func (p *Plan) Signs() bool {
	if p.CA == nil {
		return len(p.newAuthorities()) > 0
	}
	return slices.ContainsFunc(p.CA.Authorities, func(c CACert) bool { return c.Due != "" && (!c.noAgent || p.switches(c.Host)) })
}

// switches says whether the plan changes a host.
func (p *Plan) switches(host string) bool {
	return slices.ContainsFunc(p.Waves, func(w Wave) bool { return slices.Contains(w.Hosts, host) })
}

// lines are the plan's: what is past half of its life, and what a deploy signs.
func (p *CAPlan) lines(now time.Time, switches func(host string) bool) []string {
	if p == nil {
		return nil
	}
	var lines []string
	for _, c := range p.Roots {
		if c.Level != agentapi.LevelOK {
			lines = append(lines, fmt.Sprintf("%s %s", c.Name, lifeText(c.life(), now)))
		}
	}
	for _, c := range p.Authorities {
		switch {
		case c.Due == "":
		case c.noAgent && !switches(c.Host):
			lines = append(lines, fmt.Sprintf("authority %s: no agent runs there, so what it has is not known", c.Host))
		case c.Until.IsZero():
			lines = append(lines, fmt.Sprintf("authority %s %s: a deploy by %s signs one", c.Host, c.Due, p.able))
		default:
			lines = append(lines, fmt.Sprintf("CA intermediate of %s: %s, a deploy by %s renews it", c.Host, strings.TrimPrefix(lifeText(c.life(), now), "has "), p.able))
		}
	}
	if p.Problem != nil {
		lines = append(lines, "refused: "+p.Problem.Text, "         next: "+p.Problem.Next)
	}
	return lines
}
