package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/internal/term"
)

// MeshCertsSchema names the JSON form of MeshCerts.
const MeshCertsSchema = "nixmesh.mesh-certs/1"

// MeshCerts are the certificates that the agents of hosts hold.
type MeshCerts struct {
	Schema    string            `json:"schema"`
	Fleet     string            `json:"fleet"`
	Hosts     []*agentapi.Certs `json:"hosts"`
	Silent    []AskedAgent      `json:"silent,omitempty"` // did not answer
	Attention []Next            `json:"attention,omitempty"`

	lab bool
	now time.Time
}

// MeshCerts asks the agents of all hosts for their certificates: each knows
// its own.
func (d *Deployer) MeshCerts(ctx context.Context, agent AgentDialer, hosts []string) *MeshCerts {
	c := d.meshCerts(ctx, agent, hosts)
	c.lookAtClocks()
	c.look()
	return c
}

// meshCerts are certificates that nobody looked at yet.
func (d *Deployer) meshCerts(ctx context.Context, agent AgentDialer, hosts []string) *MeshCerts {
	c := &MeshCerts{Schema: MeshCertsSchema, Fleet: d.Fleet.Name, Hosts: []*agentapi.Certs{}, lab: d.Fleet.Lab, now: d.now()}
	for _, a := range askEach(ctx, hosts, certsOf(agent)) {
		if a.err == nil && a.answer.Host != a.host {
			a.err = fmt.Errorf("what answers is the agent of %q", a.answer.Host)
		}
		if a.err != nil {
			c.Silent = append(c.Silent, silent(a.host, a.err))
			continue
		}
		c.Hosts = append(c.Hosts, a.answer)
	}
	return c
}

// Exit is 0 where all is well, 1 where a certificate is not, 7 where an agent
// did not answer.
func (c *MeshCerts) Exit() Exit {
	for _, row := range c.rows() {
		if row.level != agentapi.LevelOK || row.problem != "" {
			return ExitFailed
		}
	}
	if len(c.Silent) > 0 {
		return ExitUnreachable
	}
	return ExitDone
}

// levelNone is a certificate that an agent asks for and does not have yet.
const levelNone = "missing"

// levelOf is the level of a certificate, as people see it.
func levelOf(c agentapi.Cert) string {
	if c.Until.IsZero() && c.From.IsZero() {
		return levelNone
	}
	return c.Level
}

// Kinds of certificates, the order of a table.
const (
	kindLeaf = iota
	kindAuthority
	kindRoot
)

// certRow is one certificate on some hosts. Leaves of one service are one row:
// their ends differ by little, and the first counts.
type certRow struct {
	kind    int
	name    string
	issuers []string
	level   string // of agentapi, or levelNone
	problem string
	until   time.Time
	renews  time.Time
	hosts   []string
}

// rows are the certificates of all hosts, by kind and name. Those at different
// levels, or with different problems, are not one row.
func (c *MeshCerts) rows() []*certRow {
	var rows []*certRow
	add := func(h *agentapi.Certs, kind int, cert agentapi.Cert) {
		host, clock := h.Host, c.clock(h)
		if !cert.Until.IsZero() {
			cert.Until = cert.Until.Add(-clock)
		}
		if !cert.Renews.IsZero() {
			cert.Renews = cert.Renews.Add(-clock)
		}
		level := levelOf(cert)
		i := slices.IndexFunc(rows, func(r *certRow) bool {
			return r.kind == kind && r.name == cert.Name && r.level == level && r.problem == cert.Problem
		})
		if i < 0 {
			rows = append(rows, &certRow{kind: kind, name: cert.Name, level: level, problem: cert.Problem, until: cert.Until, renews: cert.Renews})
			i = len(rows) - 1
		}
		r := rows[i]
		r.until, r.renews = earlier(r.until, cert.Until), earlier(r.renews, cert.Renews)
		if !slices.Contains(r.hosts, host) {
			r.hosts = append(r.hosts, host)
		}
		if cert.Issuer != "" && !slices.Contains(r.issuers, cert.Issuer) {
			r.issuers = append(r.issuers, cert.Issuer)
		}
	}
	for _, h := range c.Hosts {
		for _, leaf := range h.Leaves {
			add(h, kindLeaf, leaf)
		}
		if h.Authority != nil {
			add(h, kindAuthority, *h.Authority)
		}
		for _, root := range h.Roots {
			add(h, kindRoot, root)
		}
	}
	slices.SortStableFunc(rows, func(a, b *certRow) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), strings.Compare(a.name, b.name))
	})
	return rows
}

// clock is how far a host's clock is ahead of this machine's. What a certificate
// has left counts by the clock of the host that uses it.
func (c *MeshCerts) clock(h *agentapi.Certs) time.Duration {
	if h.Time.IsZero() {
		return 0
	}
	if d := h.Time.Sub(c.now); d.Abs() > clockTolerance {
		return d
	}
	return 0
}

// earlier is the first of two times; a certificate that is not there has none,
// and comes before all.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// look finds what a person should know, the most important last.
func (c *MeshCerts) look() {
	for _, s := range c.Silent {
		c.attend(s.next, "%s: %s", s.Host, s.Error)
	}
	for _, h := range c.Hosts {
		if h.Requested {
			c.attend("nixmesh deploy --on "+h.Host, "%s waits for its intermediate: an operator with the root's key signs it in a deploy", h.Host)
		}
	}
	for _, level := range []string{agentapi.LevelOK, agentapi.LevelWarn, levelNone, agentapi.LevelCritical, agentapi.LevelExpired} {
		for _, line := range c.complaints(level) {
			c.attend(line.Command, "%s", line.Why)
		}
	}
}

func (c *MeshCerts) attend(command, format string, args ...any) {
	c.Attention = append(c.Attention, Next{Command: Typed(c.lab, command), Why: fmt.Sprintf(format, args...)})
}

// lookAtClocks looks at clocks that are not this machine's. When all are, it may
// be this one.
func (c *MeshCerts) lookAtClocks() {
	var all byText
	for _, h := range c.Hosts {
		if d := c.clock(h); d != 0 {
			all.add("the clock is "+aheadOf(d)+" this machine's", h.Host)
		}
	}
	for _, text := range all.texts {
		c.attend("nixmesh exec --on "+all.names[text][0]+" -- timedatectl", "%s: %s", some(all.names[text]), text)
	}
}

// complaints are what is wrong with certificates of one level. Those with one
// trouble are one line.
func (c *MeshCerts) complaints(level string) []Next {
	var all byText
	command := map[string]string{}
	for _, r := range c.rows() {
		if r.level != level || level == agentapi.LevelOK && r.problem == "" {
			continue
		}
		text := r.complaint(c.now)
		all.add(text, r.name+" on "+some(r.hosts))
		if r.kind != kindLeaf { // of a deploy, by an operator who has the root's key
			command[text] = "nixmesh ca status"
		}
	}
	lines := make([]Next, len(all.texts))
	for i, text := range all.texts {
		lines[i] = Next{Command: command[text], Why: some(all.names[text]) + ": " + text}
	}
	return lines
}

// maxComplaint bounds what is quoted of an agent's reason, in bytes: an agent
// that asked each authority has one for each. All of it is in the JSON.
const maxComplaint = 200

// complaint is what is wrong with a certificate.
func (r *certRow) complaint(now time.Time) string {
	text := ""
	switch r.level {
	case levelNone:
		text = "no certificate yet"
	case agentapi.LevelExpired:
		text = "expired " + term.Ago(now, r.until)
	case agentapi.LevelCritical:
		text = "expires in " + LifeText(r.until.Sub(now)) + ", and was not renewed"
	case agentapi.LevelWarn:
		text = "should have been renewed, expires in " + LifeText(r.until.Sub(now))
	}
	problem := r.problem
	if len(problem) > maxComplaint {
		problem = strings.ToValidUTF8(problem[:maxComplaint], "") + "..."
	}
	switch {
	case problem == "":
		return text
	case text == "":
		return problem
	}
	return text + ": " + problem
}

// LifeText is how long a certificate lives, in hours where that tells more: one of
// a service lives for 72.
func LifeText(d time.Duration) string {
	if d > 2*time.Hour && d < 100*time.Hour {
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return term.Span(d)
}
