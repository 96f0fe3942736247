package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/deploy"
	"github.com/nixmesh/nixmesh/trust"
)

// caSchema names the JSON form of `ca status`.
const caSchema = "nixmesh.ca/1"

func newCAStatusCmd(a *app) *cobra.Command {
	return a.selects(&cobra.Command{
		Use: "status", Short: "How old the CA's certificates are, of every level", Args: cobra.NoArgs,
		Example: `  nixmesh ca status
  nixmesh ca status --on db1,db2 -o json`,
		Long: `How old the CA's certificates are: the root's, each authority's intermediate, and the leaves
of each host's services. The hosts' agents are asked over SSH, all at once.

A root and an intermediate warn from half of their life and are critical from 14 days before
the end; a leaf, which is renewed at 40 to 50 % of its life, at 66 % and at 90 %.

EXIT STATUS
  0   nothing is critical
  1   something is critical, expired, or nobody can sign
  6   the fleet has no CA
  7   agents that do not answer; the others are fine`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCAStatus(cmd.Context(), a) },
	})
}

// caStatus is the CA as its operators see it, and its JSON.
type caStatus struct {
	Schema      string        `json:"schema"`
	Fleet       string        `json:"fleet"`
	TrustDomain string        `json:"trust_domain"`
	Time        time.Time     `json:"time"`
	Level       string        `json:"level"` // the worst of what is known; "unknown" where no host told anything
	Roots       []caCert      `json:"roots"`
	Authorities []caAuthority `json:"authorities"`
	Hosts       []caHost      `json:"hosts"`
	Attention   []deploy.Next `json:"attention,omitempty"`

	lab bool
}

// caCert is one certificate of the CA.
type caCert struct {
	Name        string    `json:"name,omitempty"`
	Fingerprint string    `json:"fingerprint,omitempty"` // of a root
	From        time.Time `json:"from,omitzero"`
	Until       time.Time `json:"until,omitzero"` // zero where there is none
	Level       string    `json:"level,omitempty"`
}

// caAuthority is one host that signs.
type caAuthority struct {
	Host string `json:"host"`
	caCert
	Due     string `json:"due,omitempty"`     // why it should have another one
	Issued  int    `json:"issued,omitempty"`  // leaves since its agent's start
	Refused int    `json:"refused,omitempty"` // requests since its agent's start
	Error   string `json:"unknown,omitempty"` // why nothing is known of it
}

// caHost is one host's leaves.
type caHost struct {
	Host   string    `json:"host"`
	Leaves int       `json:"leaves"`          // that it has
	Wanted int       `json:"wanted"`          // services that are placed there
	Until  time.Time `json:"until,omitzero"`  // of the one that ends first
	Renews time.Time `json:"renews,omitzero"` // when the first is asked for again
	Level  string    `json:"level,omitempty"` // the worst of them
	// Problems are "api: no authority answers", one a leaf.
	Problems []string `json:"problems,omitempty"`
	Error    string   `json:"unknown,omitempty"` // why nothing is known of it
}

func runCAStatus(ctx context.Context, a *app) error {
	f, err := a.openCA()
	if err != nil {
		return err
	}
	ca, err := f.deployCA()
	if err != nil {
		return failed(err)
	}
	if ca == nil {
		return errNoCA()
	}
	hosts, err := f.pick(a.on)
	if err != nil {
		return err
	}
	u := a.newUI()
	defer u.end()
	d, err := f.deployer(ctx, u.sink)
	if err != nil {
		return err
	}
	defer d.Close()
	d.CA = ca
	u.step("asking " + counted(len(hosts), "host"))
	s := f.caStatus(ctx, d, hosts)
	u.end()
	if a.isJSON() {
		err = printJSON(a.stdout, s)
	} else {
		err = s.write(a.stdout, a.style(a.stdout))
	}
	if err != nil {
		return err
	}
	return exit(s.exit())
}

// caStatus asks the hosts' agents.
func (f *fleet) caStatus(ctx context.Context, d *deploy.Deployer, hosts []string) *caStatus {
	now := f.now()
	s := &caStatus{Schema: caSchema, Fleet: f.spec.Name, TrustDomain: string(d.CA.Roots.Domain), Time: now.UTC(),
		Roots: []caCert{}, Authorities: []caAuthority{}, Hosts: make([]caHost, len(hosts)), lab: f.lab != nil}
	for _, root := range d.CA.Roots.Roots() {
		life := trust.LifeOf(root)
		s.Roots = append(s.Roots, caCert{Name: trust.CAName(root), Fingerprint: trust.Fingerprint(root), From: life.From, Until: life.Until, Level: life.CALevel(now).String()})
	}
	certs, errs := make([]*agentapi.Certs, len(hosts)), make([]error, len(hosts))
	var wg sync.WaitGroup
	for i, host := range hosts {
		wg.Go(func() { certs[i], errs[i] = d.Certs(ctx, host) })
	}
	wg.Wait()
	for i, host := range hosts {
		s.Hosts[i] = leavesOf(host, certs[i], errs[i])
		if slices.Contains(d.CA.Authorities, host) {
			c := d.CA.Authority(host, certs[i], errs[i], now)
			authority := caAuthority{Host: host, caCert: caCert{Name: c.Name, From: c.From, Until: c.Until, Level: c.Level}, Due: c.Due, Error: c.Error}
			if errs[i] != nil {
				authority.Due, authority.Error = "", s.Hosts[i].Error
			}
			if certs[i] != nil {
				authority.Issued, authority.Refused = certs[i].Issued, certs[i].Refused
			}
			s.Authorities = append(s.Authorities, authority)
		}
	}
	s.Level = s.worst()
	s.attend()
	return s
}

// levelUnknown is the level of a CA of which no host told anything.
const levelUnknown = "unknown"

// leavesOf sums up a host's leaves.
func leavesOf(host string, certs *agentapi.Certs, err error) caHost {
	h := caHost{Host: host}
	switch {
	case errors.Is(err, deploy.ErrNoAgent):
		h.Error = "no agent runs there"
	case err != nil:
		h.Error = deploy.WithoutHost(host, err)
	}
	if err != nil {
		return h
	}
	h.Level = agentapi.LevelOK
	for _, leaf := range certs.Leaves {
		if leaf.Placed {
			h.Wanted++
		}
		switch {
		case leaf.Until.IsZero():
			h.Problems = append(h.Problems, leaf.Name+": "+defaultString(leaf.Problem, "none yet"))
			h.Level = worseLevel(h.Level, agentapi.LevelWarn)
			continue
		case leaf.Problem != "":
			h.Problems = append(h.Problems, leaf.Name+": "+leaf.Problem)
		}
		h.Leaves++
		h.Level = worseLevel(h.Level, leaf.Level)
		h.Until, h.Renews = earlier(h.Until, leaf.Until), earlier(h.Renews, leaf.Renews)
	}
	return h
}

// earlier is the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// worseLevel is the more urgent of two levels.
func worseLevel(a, b string) string {
	order := []string{"", agentapi.LevelOK, agentapi.LevelWarn, agentapi.LevelCritical, agentapi.LevelExpired}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

// worst is the level of the whole CA. An authority without an intermediate is
// the others' to make up for, unless none of those that answer can sign.
func (s *caStatus) worst() string {
	level := agentapi.LevelOK
	for _, c := range s.Roots {
		level = worseLevel(level, c.Level)
	}
	able, answered := 0, 0
	for _, c := range s.Authorities {
		if c.Error != "" {
			continue
		}
		answered++
		if c.Until.IsZero() {
			level = worseLevel(level, agentapi.LevelWarn)
			continue
		}
		level = worseLevel(level, c.Level)
		if c.Level != agentapi.LevelExpired {
			able++
		}
	}
	if answered > 0 && able == 0 {
		level = worseLevel(level, agentapi.LevelCritical)
	}
	for _, h := range s.Hosts {
		level = worseLevel(level, h.Level)
	}
	if level == agentapi.LevelOK && !slices.ContainsFunc(s.Hosts, caHost.known) {
		return levelUnknown
	}
	return level
}

// known says whether the host's agent answered.
func (h caHost) known() bool { return h.Error == "" }

func (s *caStatus) exit() deploy.Exit {
	if s.Level == agentapi.LevelCritical || s.Level == agentapi.LevelExpired {
		return deploy.ExitFailed
	}
	if slices.ContainsFunc(s.Hosts, func(h caHost) bool { return !h.known() }) {
		return deploy.ExitUnreachable
	}
	return deploy.ExitDone
}
