package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/mesh"
)

// putAtOnce is how many agents a document is put to: the others get it from
// those, and one that refuses or dies is no single point.
const putAtOnce = 5

// putTimeout bounds one attempt to put a document: 2 MB over a slow line, and an
// agent that verifies it.
const putTimeout = 30 * time.Second

// publication is whom a document is for.
type publication struct {
	agents  []string // hosts whose agents are known to be there
	unasked []string // hosts that may have one; they get it from the others
	none    []string // hosts that have none
	owed    []string // those of them that should have one: they run what the spec says
}

// expected are the hosts that are waited for.
func (p publication) expected() []string {
	all := slices.Concat(p.agents, p.unasked)
	slices.Sort(all)
	return slices.Compact(all)
}

// publish puts a signed document to some agents and waits until all of the fleet
// that can be reached act on it, up to a deadline. The error is that nobody took
// it, or that another one won.
func (d *Deployer) publish(ctx context.Context, doc *mesh.Document, to publication, r *MeshResult) error {
	began := d.now()
	text := doc.Canonical()
	first := to.agents[:min(len(to.agents), putAtOnce)]
	takers, refusals := d.put(ctx, doc, text, first)
	if len(takers) == 0 && len(to.agents) > len(first) {
		takers, refusals = d.put(ctx, doc, text, to.agents[len(first):])
	}
	if len(takers) == 0 {
		return noneTook(doc, refusals)
	}
	// Where others forked, one of the two documents wins on all hosts soon.
	u, err := d.awaitApplied(ctx, doc, takers, to.expected())
	r.Took = took(d.now().Sub(began))
	if err != nil {
		u = &uptake{}
	}
	r.missing(hostNames(d.Fleet), to, refusals, u)
	return err
}

// noneTook says why no agent took a document: another one is in force, or the
// first that answered otherwise.
func noneTook(doc *mesh.Document, refusals map[string]error) error {
	hosts := slices.Sorted(maps.Keys(refusals))
	for _, h := range hosts {
		var fork *ForkedError
		if errors.As(refusals[h], &fork) {
			return fork
		}
	}
	for _, h := range hosts {
		if !lost(refusals[h]) {
			return fmt.Errorf("no agent took it: %w", refusals[h])
		}
	}
	for _, h := range hosts {
		return fmt.Errorf("no agent took it: %w", refusals[h])
	}
	return errors.New("no agent took it: none is known")
}

// put puts a document to hosts and says who acts on it, and of the others why
// not.
func (d *Deployer) put(ctx context.Context, doc *mesh.Document, text []byte, hosts []string) (took []string, refusals map[string]error) {
	answers := make([]*agentapi.Applied, len(hosts))
	errs := make([]error, len(hosts))
	each(hosts, putAtOnce, func(host string) {
		i := slices.Index(hosts, host)
		answers[i], errs[i] = d.putOnce(ctx, host, text)
	})
	refusals = map[string]error{}
	for i, host := range hosts {
		err := errs[i]
		if err == nil {
			err = d.judge(answers[i], doc, host)
		}
		if err != nil {
			refusals[host] = err
			continue
		}
		took = append(took, host)
	}
	return took, refusals
}

// judge says why an agent does not act on a document that was put to it, nil
// where it does.
func (d *Deployer) judge(a *agentapi.Applied, doc *mesh.Document, host string) error {
	why := refusedBy(a, doc)
	switch {
	case why == "":
		return nil
	case a.Result == agentapi.ApplyFork:
		return &ForkedError{Ours: doc.Link(), In: a.In}
	}
	return fmt.Errorf("%s refuses it: %s", host, why)
}

// refusedBy is why the agent does not act on a document, "" where it does.
func refusedBy(a *agentapi.Applied, doc *mesh.Document) string {
	if a.Result == agentapi.ApplyInForce {
		return ""
	}
	if a.Reason != "" {
		return a.Reason
	}
	return fmt.Sprintf("it acts on version %d by %s", a.In.Version, a.In.Operator)
}

func (d *Deployer) putOnce(ctx context.Context, host string, text []byte) (*agentapi.Applied, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, putTimeout, errSlowAgent)
	defer cancel()
	c, err := d.agent(ctx, host)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Apply(ctx, text)
}

// putPatiently repeats until the agent of a host that was just switched answers.
func (d *Deployer) putPatiently(ctx context.Context, host string, text []byte) (*agentapi.Applied, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.Times.withDefaults().Publish, errSlowAgent)
	defer cancel()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		answer, err := d.putOnce(ctx, host, text)
		if err == nil {
			return answer, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(wait):
		}
	}
}
