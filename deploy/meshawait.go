package deploy

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/mesh"
)

// ForkedError is another operator's document in place of ours.
type ForkedError struct {
	Ours mesh.Link
	In   agentapi.Document
}

func (e *ForkedError) Error() string {
	return fmt.Sprintf("version %d by %s is in force, and version %d by %s does not continue it: both were made of the same one, or the other is newer",
		e.In.Version, e.In.Operator, e.Ours.Version, e.Ours.Operator)
}

// Next is the advice.
func (e *ForkedError) Next() string { return "nixmesh plan" }

// awayPatience is how long an Envoy that is away may be starting.
const awayPatience = 3 * time.Second

// uptake is what is known of the hosts that a document was put to.
type uptake struct {
	began   time.Time
	applied map[string]bool   // the agent acts on it, and the Envoy if there is one
	envoys  map[string]string // states of the Envoys of other hosts whose agents do
}

// see takes what an agent knows of all hosts.
func (u *uptake) see(hosts []agentapi.Host) {
	for _, h := range hosts {
		switch {
		case !h.Applied:
		case h.Envoy == "" || h.Envoy == agentapi.EnvoyActs:
			u.applied[h.Name] = true
			delete(u.envoys, h.Name)
		case !u.applied[h.Name]:
			u.envoys[h.Name] = h.Envoy
		}
	}
}

// over says whether there is nothing to wait for on a host.
func (u *uptake) over(host string) bool {
	switch {
	case u.applied[host], u.envoys[host] == agentapi.EnvoyRefuses:
		return true
	case u.envoys[host] == agentapi.EnvoyAway:
		return time.Since(u.began) >= awayPatience
	}
	return false
}

// awaitApplied waits until the agents of hosts act on a document, and their Envoys,
// and tells of all hosts that do. One agent is asked what it knows of all; of those
// that took it, each for itself where that one knew nothing. It is no error that some
// do not in time.
func (d *Deployer) awaitApplied(ctx context.Context, doc *mesh.Document, took, hosts []string) (*uptake, error) {
	timed, cancel := context.WithTimeoutCause(ctx, d.Times.withDefaults().Publish, errSlowAgent)
	defer cancel()
	u := &uptake{began: time.Now(), applied: map[string]bool{}, envoys: map[string]string{}}
	for asked := 0; ; asked++ { // the next of those that took it, where one stops to answer
		done, err := d.watchApplied(timed, doc, took[asked%len(took)], u, hosts)
		if err != nil {
			return nil, err
		}
		if done || timed.Err() != nil {
			break
		}
	}
	d.askThemselves(ctx, doc, took, u)
	return u, nil
}

// askThemselves asks the agents of which the others know nothing how far they are. One
// that does not answer took the document, and no more is known.
func (d *Deployer) askThemselves(ctx context.Context, doc *mesh.Document, took []string, u *uptake) {
	unknown := slices.DeleteFunc(slices.Clone(took), func(h string) bool { return u.applied[h] || u.envoys[h] != "" })
	for _, own := range askEach(ctx, unknown, statusOf(d.agent)) {
		u.envoys[own.host] = envoyUnknown
		if own.err == nil && own.answer.Document != nil && own.answer.Document.Hash == doc.Hash() {
			delete(u.envoys, own.host)
			u.see(slices.DeleteFunc(slices.Clone(own.answer.Hosts), func(h agentapi.Host) bool { return h.Name != own.host }))
		}
	}
}

// envoyUnknown is the state of an Envoy whose agent took a document and was not heard
// of again.
const envoyUnknown = "unknown"

// watchApplied asks one agent until there is nothing to wait for on any host, and
// says whether that is so. It ends, too, when the agent does not answer. The error is
// a *ForkedError.
func (d *Deployer) watchApplied(ctx context.Context, doc *mesh.Document, host string, u *uptake, hosts []string) (bool, error) {
	ours := doc.Hash()
	c, err := d.agent(ctx, host)
	if err == nil {
		defer c.Close()
	}
	for wait := 20 * time.Millisecond; ; wait = min(wait*3/2, 500*time.Millisecond) {
		var s *agentapi.Status
		if err == nil {
			s, err = c.Status(ctx)
		}
		if err == nil && s.Document != nil {
			if err := d.overtaken(ctx, doc, s, host); err != nil {
				return false, err
			}
			if s.Document.Hash == ours {
				u.see(s.Hosts)
			}
			if !slices.ContainsFunc(hosts, func(h string) bool { return !u.over(h) }) {
				return true, nil
			}
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-time.After(wait):
		}
		if err != nil {
			return false, nil
		}
	}
}

// overtaken is a *ForkedError where an agent that took our document acts on
// another one that does not come after it.
func (d *Deployer) overtaken(ctx context.Context, doc *mesh.Document, s *agentapi.Status, host string) error {
	in := s.Document
	after := doc.Version + 1
	switch {
	case in.Hash == doc.Hash(), in.Version < doc.Version:
		return nil
	case in.Version > after:
		return nil // whoever signed the ones between saw ours
	case in.Version == after && !d.passesOver(ctx, doc, host):
		return nil
	}
	return &ForkedError{Ours: doc.Link(), In: *in}
}

// passesOver says whether the document of an agent, the next version after ours,
// continues another one. Where it cannot be read, the next look tells.
func (d *Deployer) passesOver(ctx context.Context, ours *mesh.Document, host string) bool {
	text, err := d.documentOf(ctx, host)
	if err != nil || len(*text) == 0 {
		return false
	}
	next, err := d.readDocument(*text)
	return err == nil && next.Version == ours.Version+1 && next.Parent != ours.Hash()
}
