package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/agentapi"
)

// MeshStatusSchema names the JSON form of a MeshStatus.
const MeshStatusSchema = "nixmesh.mesh-status/1"

// MeshStatus is the mesh as one agent sees it, and where other agents that were
// asked see it otherwise.
type MeshStatus struct {
	Schema    string                           `json:"schema"`
	Fleet     string                           `json:"fleet"`
	Asked     []AskedAgent                     `json:"asked"`
	Host      string                           `json:"host,omitempty"` // whose view it is
	View      *agentapi.Status                 `json:"view,omitempty"`
	Guards    map[string]*agentapi.GuardStatus `json:"guards,omitempty"` // of the hosts whose agents answered
	Attention []Next                           `json:"attention,omitempty"`
	Unhealthy bool                             `json:"unhealthy"` // something of Attention needs somebody

	others []*agentapi.Status
	lab    bool
}

// AskedAgent is an agent that was asked.
type AskedAgent struct {
	Host  string `json:"host"`
	Error string `json:"error,omitempty"` // why it did not answer

	next string // advice on Error
}

// silent is an agent that did not answer.
func silent(host string, err error) AskedAgent {
	next := nextOf(err)
	if next == "" {
		next = "nixmesh status " + host
	}
	return AskedAgent{Host: host, Error: strings.TrimPrefix(err.Error(), host+": "), next: next}
}

// MeshStatus asks some agents of hosts how they see the mesh. The answer is
// there as soon as any of them answered and the others had their time.
func (d *Deployer) MeshStatus(ctx context.Context, agent AgentDialer, hosts []string) *MeshStatus {
	s := d.meshViews(ctx, agent, hosts)
	s.look()
	return s
}

// meshViews is a MeshStatus whose views nobody looked at yet.
func (d *Deployer) meshViews(ctx context.Context, agent AgentDialer, hosts []string) *MeshStatus {
	s := &MeshStatus{Schema: MeshStatusSchema, Fleet: d.Fleet.Name, lab: d.Fleet.Lab}
	for _, a := range askSome(ctx, hosts, askAtOnce, statusOf(agent)) {
		s.add(d.agentAnswer(a.host, a.answer, a.err))
	}
	s.choose()
	return s
}

// agentAnswer refuses an agent that is another host's or fleet's.
func (d *Deployer) agentAnswer(host string, answer *agentapi.Status, err error) (string, *agentapi.Status, error) {
	if err == nil && (answer.Host != host || answer.Fleet != d.Fleet.Name) {
		err = fmt.Errorf("what answers is the agent of %q of fleet %q", answer.Host, answer.Fleet)
	}
	return host, answer, err
}

func (s *MeshStatus) add(host string, answer *agentapi.Status, err error) {
	if err != nil {
		s.Asked = append(s.Asked, silent(host, err))
		return
	}
	s.Asked = append(s.Asked, AskedAgent{Host: host})
	s.others = append(s.others, answer)
	if answer.Guard != nil {
		if s.Guards == nil {
			s.Guards = map[string]*agentapi.GuardStatus{}
		}
		s.Guards[host] = answer.Guard
	}
}

// choose takes the view that knows most: of an agent with a document, that
// hears others, and sees more than half of them; else the first.
func (s *MeshStatus) choose() {
	rank := func(v *agentapi.Status) int {
		n := 0
		for i, bad := range []bool{v.Frozen, v.Stale, v.Document == nil} {
			if bad {
				n += 1 << i
			}
		}
		return n
	}
	if len(s.others) == 0 {
		return
	}
	best := 0
	for i, v := range s.others {
		if rank(v) < rank(s.others[best]) {
			best = i
		}
	}
	s.View, s.others = s.others[best], slices.Delete(slices.Clone(s.others), best, best+1)
	s.Host = s.View.Host
}

// Exit is 0 where all is well, 1 where something is not, 7 where no agent
// answered.
func (s *MeshStatus) Exit() Exit {
	switch {
	case s.View == nil:
		return ExitUnreachable
	case s.Unhealthy:
		return ExitFailed
	}
	return ExitDone
}

// acting counts the hosts that act on the document of a view, agent and Envoy, as far
// as that can be known: one that is away may act on another by now.
func acting(v *agentapi.Status) int {
	n := 0
	for _, h := range v.Hosts {
		switch h.Gossip {
		case agentapi.GossipSelf, agentapi.GossipAlive, agentapi.GossipSuspect:
			if h.Applied && (h.Envoy == "" || h.Envoy == agentapi.EnvoyActs) {
				n++
			}
		}
	}
	return n
}

// documentText is what a host acts on beside what the view does: "57", "56".
func documentText(h agentapi.Host, act *agentapi.Document) string {
	switch {
	case h.Document == nil:
		return "-"
	case act != nil && h.Document.Version == act.Version && h.Document.Hash != act.Hash:
		return fmt.Sprintf("%d (%s)", h.Document.Version, shortHash(h.Document.Hash))
	}
	return fmt.Sprint(h.Document.Version)
}

// shortHash is enough of a hash to tell documents apart.
func shortHash(hash string) string {
	_, digits, tagged := strings.Cut(hash, ":")
	if !tagged {
		digits = hash
	}
	return digits[:min(8, len(digits))]
}
