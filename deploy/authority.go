package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/trust"
)

// authorityAgent is what an intermediate needs of an authority's agent.
type authorityAgent interface {
	Certs(ctx context.Context) (*agentapi.Certs, error)
	AuthorityRequest(ctx context.Context) (*agentapi.AuthorityRequest, error)
	InstallAuthority(ctx context.Context, pem []byte) error
	Close()
}

// authorityAgent is the agent of an authority.
func (d *Deployer) authorityAgent(ctx context.Context, host string) (authorityAgent, error) {
	if d.CA.agent != nil {
		return d.CA.agent(ctx, host)
	}
	return d.Agent(ctx, host)
}

// AuthorityEnd is how the renewal of one authority came out.
type AuthorityEnd string

// The ends of a renewal.
const (
	AuthoritySigned  AuthorityEnd = "signed"
	AuthorityCurrent AuthorityEnd = "current" // it needs none yet
	AuthorityClosed  AuthorityEnd = "closed"  // the root could not be opened here
	AuthorityFailed  AuthorityEnd = "failed"  // the host or its agent did not do its part
)

// AuthorityResult is one authority after a renewal.
type AuthorityResult struct {
	Host  string       `json:"host"`
	End   AuthorityEnd `json:"end"`
	Name  string       `json:"name,omitempty"`  // of the intermediate that it has now
	Until time.Time    `json:"until,omitzero"`  // of that
	Error string       `json:"error,omitempty"` // why it has no new one

	unreachable bool
}

// Exit is the exit code of a result.
func (r AuthorityResult) Exit() Exit {
	switch {
	case r.unreachable:
		return ExitUnreachable
	case r.End == AuthorityClosed:
		return ExitRefused
	case r.End == AuthorityFailed:
		return ExitFailed
	}
	return ExitDone
}

// RenewOptions choose what a renewal does.
type RenewOptions struct {
	Hosts []string
	Wait  time.Duration // patience with an agent that starts, or waits for a document
	All   bool          // those, too, whose intermediate is good
}

// RenewAuthorities signs intermediates for the authorities that need one: the
// key is born on the host, its request comes over SSH, and the certificate goes
// back the same way. The root is opened at most once, when the first is to be
// signed. The results are in the order of the hosts.
func (d *Deployer) RenewAuthorities(ctx context.Context, o RenewOptions) []AuthorityResult {
	results := make([]AuthorityResult, len(o.Hosts))
	open := sync.OnceValues(func() (trust.Root, error) { return d.CA.Open(ctx) })
	each(o.Hosts, len(o.Hosts), func(host string) {
		r := &renewal{d: d, all: o.All, open: open, result: AuthorityResult{Host: host}}
		r.run(ctx, o.Wait)
		results[slices.Index(o.Hosts, host)] = r.result
	})
	return results
}

// renewal is one authority on its way to an intermediate.
type renewal struct {
	d       *Deployer
	all     bool
	open    func() (trust.Root, error)
	offered time.Time // end of the intermediate that was sent last
	result  AuthorityResult
}

// errClosed is a root that could not be opened.
var errClosed = errors.New("the CA's root is closed")

// run tries until the host has what it needs, or the patience ends: after a
// switch the agent may be starting, and the document that makes the host an
// authority on its way. Each attempt begins with what the agent has, so that an
// answer that was lost is no failure.
func (r *renewal) run(ctx context.Context, patience time.Duration) {
	end := time.NewTimer(patience)
	defer end.Stop()
	away := 0
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := r.try(ctx)
		if err == nil || errors.Is(err, errClosed) {
			return
		}
		r.result.End, r.result.Error, r.result.unreachable = AuthorityFailed, plain(r.result.Host, err), lost(err)
		if away++; !lost(err) {
			away = 0
		} else if away > 1 {
			return // a second connection failed, too: waiting is no help
		}
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-time.After(pause):
		}
	}
}

// try is one attempt.
func (r *renewal) try(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	agent, err := r.d.authorityAgent(asking, r.result.Host)
	if err != nil {
		return err
	}
	defer agent.Close()
	certs, err := agent.Certs(asking)
	if err != nil {
		return fmt.Errorf("read certificates: %w", err)
	}
	taken := false
	if has := certs.Authority; has != nil {
		r.result.Name, r.result.Until = has.Name, has.Until
		taken = !r.offered.IsZero() && has.Until.Equal(r.offered)
	}
	due := r.d.CA.due(certs.Authority, r.d.now()) != ""
	switch {
	case taken:
		r.ends(AuthoritySigned)
		return nil
	case !due && !r.all:
		r.ends(AuthorityCurrent)
		return nil
	}
	root, err := r.open() // may ask a person, who is not held to the time of an attempt
	if err != nil {
		r.ends(AuthorityClosed)
		r.result.Error = err.Error()
		return errClosed
	}
	return r.sign(ctx, agent, root)
}

// sign answers the request of the host's agent.
func (r *renewal) sign(ctx context.Context, agent authorityAgent, root trust.Root) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := agent.AuthorityRequest(ctx)
	if err != nil {
		return fmt.Errorf("read request for an intermediate: %w", err)
	}
	text, err := root.SignAuthority([]byte(request.Request), r.result.Host, r.d.CA.TTL, r.d.now())
	if err != nil {
		return err
	}
	made, err := trust.ParseCertificates(text, 1)
	if err != nil {
		return err
	}
	r.offered = made[0].NotAfter
	if err := agent.InstallAuthority(ctx, text); err != nil {
		return fmt.Errorf("install intermediate: %w", err)
	}
	r.result.Name, r.result.Until = trust.CAName(made[0]), made[0].NotAfter
	r.ends(AuthoritySigned)
	return nil
}

// ends notes an end, after which earlier attempts count no more.
func (r *renewal) ends(end AuthorityEnd) {
	r.result.End, r.result.Error, r.result.unreachable = end, "", false
}

// agentPatience is how long a deploy waits for the agent of an authority after
// the commit: its first start, and the document.
const agentPatience = 30 * time.Second

// renewAuthorities signs what the authorities among the hosts need, and tells
// how that went. It is no failure of a deploy that somebody else has to sign:
// the note says who, and until when nothing is lost.
func (d *Deployer) renewAuthorities(ctx context.Context, hosts []string) {
	if d.CA == nil {
		return
	}
	theirs := slices.DeleteFunc(slices.Clone(d.CA.Authorities), func(host string) bool { return !slices.Contains(hosts, host) })
	for _, r := range d.RenewAuthorities(ctx, RenewOptions{Hosts: theirs, Wait: agentPatience}) {
		if line := d.CA.Sentence(r); line != "" {
			d.note(r.Host, "%s", Typed(d.Fleet.Lab, line))
		}
	}
}

// RenewDue signs what a plan without changes found to be due.
func (d *Deployer) RenewDue(ctx context.Context, p *Plan) { d.renewAuthorities(ctx, p.CA.due()) }

// toRenew are the hosts that a deploy left with a new system, the authorities of
// which the plan knows that they need an intermediate, and the new ones.
func (e *execution) toRenew() []string {
	hosts := append(e.plan.CA.due(), e.plan.newAuthorities()...)
	for _, h := range e.hosts() {
		if r := e.result(h); r != nil && r.End == EndDeployed {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// Sentence tells a result, without the host's name; "" where nothing happened.
func (c *CA) Sentence(r AuthorityResult) string {
	until := "none before that"
	if !r.Until.IsZero() {
		until = "the one before ends " + r.Until.UTC().Format(time.DateOnly)
	}
	switch r.End {
	case AuthoritySigned:
		return fmt.Sprintf("signs certificates as %s until %s", r.Name, r.Until.UTC().Format(time.DateOnly))
	case AuthorityClosed:
		return fmt.Sprintf("needs an intermediate (%s), and the CA's root cannot be opened here: %s; next: nixmesh ca renew, by %s",
			until, strings.ReplaceAll(r.Error, "\n", "; "), c.operators())
	case AuthorityFailed:
		return fmt.Sprintf("did not take an intermediate (%s): %s; next: nixmesh ca renew", until, strings.ReplaceAll(r.Error, "\n", "; "))
	}
	return ""
}
