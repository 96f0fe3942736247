package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/mesh"
)

// MeshDocument is the signed mesh configuration that acts, and the host whose agent
// gave it: of those that answer the greatest. It is shown, and not signed again:
// whose signature counts is the agents' to know.
func (d *Deployer) MeshDocument(ctx context.Context, hosts []string) (*mesh.Document, string, error) {
	var document *mesh.Document
	host, none, why := "", false, error(nil)
	for _, a := range askSome(ctx, hosts, askAtOnce, d.documentOf) {
		if a.err != nil {
			why = errors.Join(why, fmt.Errorf("%s: %s", a.host, strings.TrimPrefix(a.err.Error(), a.host+": ")))
			continue
		}
		if *a.answer == nil {
			none = true
			continue
		}
		one, err := d.readDocument(*a.answer)
		if err != nil {
			why = errors.Join(why, fmt.Errorf("%s: %w", a.host, err))
			continue
		}
		if document == nil || one.Link().Compare(document.Link()) > 0 {
			document, host = one, a.host
		}
	}
	switch {
	case document != nil:
		return document, host, nil
	case none:
		return nil, "", &Error{Exit: ExitFailed, Err: errors.New("the hosts have no mesh configuration yet"), Next: Typed(d.Fleet.Lab, "nixmesh deploy")}
	}
	return nil, "", &Error{Exit: ExitUnreachable, Err: fmt.Errorf("no agent answers: %w", why), Next: Typed(d.Fleet.Lab, "nixmesh status")}
}

// MeshCallsSchema names the JSON form of MeshCalls.
const MeshCallsSchema = "nixmesh.mesh-endpoints/1"

// MeshCalls are whom the callers of hosts reach.
type MeshCalls struct {
	Schema    string                `json:"schema"`
	Fleet     string                `json:"fleet"`
	Hosts     []*agentapi.Endpoints `json:"hosts"`
	Silent    []AskedAgent          `json:"silent,omitempty"` // did not answer
	Attention []Next                `json:"attention,omitempty"`

	called map[string]bool // services, before those of one were kept
	unwell bool
	lab    bool
}

// Unknown says that a service is asked for which nobody on the hosts calls, nil
// where somebody does, or where nobody knows.
func (c *MeshCalls) Unknown(service string) error {
	if service == "" || c.called[service] || len(c.Hosts) == 0 {
		return nil
	}
	var hosts []string
	for _, h := range c.Hosts {
		hosts = append(hosts, h.Host)
	}
	if len(c.called) == 0 {
		return fmt.Errorf("nobody on %s calls anybody", some(hosts))
	}
	return fmt.Errorf("nobody on %s calls %q; called are %s", some(hosts), service, strings.Join(slices.Sorted(maps.Keys(c.called)), ", "))
}

// MeshCalls asks the agents of all hosts: each knows its own callers. Only the
// calls of one service are kept, "" = of all.
func (d *Deployer) MeshCalls(ctx context.Context, agent AgentDialer, hosts []string, service string) *MeshCalls {
	c := &MeshCalls{Schema: MeshCallsSchema, Fleet: d.Fleet.Name, Hosts: []*agentapi.Endpoints{}, called: map[string]bool{}, lab: d.Fleet.Lab}
	ask := func(ctx context.Context, host string) (*agentapi.Endpoints, error) {
		client, err := agent(ctx, host)
		if err != nil {
			return nil, err
		}
		defer client.Close()
		return client.Endpoints(ctx)
	}
	for _, a := range askEach(ctx, hosts, ask) {
		if a.err == nil && a.answer.Host != a.host {
			a.err = fmt.Errorf("what answers is the agent of %q", a.answer.Host)
		}
		if a.err != nil {
			c.Silent = append(c.Silent, silent(a.host, a.err))
			continue
		}
		calls := []agentapi.Call{}
		for _, call := range a.answer.Calls {
			upstream, _ := mesh.SplitEdgeName(call.Upstream)
			c.called[upstream] = true
			if service == "" || upstream == service {
				calls = append(calls, call)
			}
		}
		a.answer.Calls = calls
		c.Hosts = append(c.Hosts, a.answer)
	}
	c.look()
	return c
}

// look finds what a person should know, the most important last.
func (c *MeshCalls) look() {
	attend := func(command, format string, args ...any) {
		c.Attention = append(c.Attention, Next{Command: Typed(c.lab, command), Why: fmt.Sprintf(format, args...)})
	}
	for _, s := range c.Silent {
		attend(s.next, "%s: %s", s.Host, s.Error)
	}
	var mute, nobody byText
	for _, h := range c.Hosts {
		if h.Error != "" && len(h.Calls) > 0 {
			mute.add(h.Error, h.Host)
		}
		for _, call := range h.Calls {
			if !reachable(call) {
				nobody.add(fmt.Sprintf("%s reaches nobody of %s", call.Caller, instance(call.Upstream, call.Version)), h.Host)
			}
		}
	}
	for _, text := range mute.texts {
		attend("nixmesh exec --on "+mute.names[text][0]+" -- systemctl status nixmesh-envoy", "%s: %s", some(mute.names[text]), text)
	}
	for _, text := range nobody.texts {
		attend("nixmesh mesh status", "%s: %s", some(nobody.names[text]), text)
	}
	c.unwell = len(mute.texts)+len(nobody.texts) > 0
}

// reachable says whether a call has an endpoint that takes calls.
func reachable(call agentapi.Call) bool {
	for _, e := range call.Endpoints {
		if e.Health == agentapi.EndpointHealthy || e.Health == agentapi.EndpointDegraded {
			return true
		}
	}
	return false
}

// Exit is 0 where all is well, 1 where a caller reaches nobody or an Envoy does not
// answer, 7 where an agent does not.
func (c *MeshCalls) Exit() Exit {
	switch {
	case c.unwell:
		return ExitFailed
	case len(c.Silent) > 0:
		return ExitUnreachable
	}
	return ExitDone
}
