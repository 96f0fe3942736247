package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
)

// askAgent asks a host's agent at its socket. curl ends with curlRefused where
// nobody listens there.
const (
	askAgent    = "curl -sf --max-time 60 --unix-socket /run/nixmesh/api.sock http://agent" + agentapi.PathStatus
	curlRefused = 7
)

// agent asks a host's agent at its socket, as root; nil where it does not
// answer.
func (f *fleet) agent(host string) *agentapi.Status {
	f.t.Helper()
	r := f.ssh(host, askAgent)
	if r.code != 0 {
		return nil
	}
	var s agentapi.Status
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
		f.t.Fatalf("read the status of %s: %v: %s", host, err, r)
	}
	return &s
}

// status is an answer of a host's agent, which has to come: who asks waits for an
// agent that starts.
func (f *fleet) status(t *testing.T, host string) *agentapi.Status {
	t.Helper()
	var s *agentapi.Status
	until(t, "the agent of "+host+" answers", func() bool { s = f.agent(host); return s != nil })
	return s
}

// convened says why a host's agent does not see all hosts alive with the same
// document in force, "" where it does.
func (f *fleet) convened(host string) string {
	f.t.Helper()
	s := f.agent(host)
	switch {
	case s == nil:
		return "no answer"
	case s.Document == nil:
		return "no document"
	case s.Stale:
		return "stale"
	case len(s.Hosts) != len(f.hosts):
		return fmt.Sprintf("%d hosts", len(s.Hosts))
	}
	for _, h := range s.Hosts {
		if h.Gossip != agentapi.GossipAlive && h.Gossip != agentapi.GossipSelf {
			return h.Name + " is " + h.Gossip
		}
		if !h.Applied {
			return h.Name + " acts on another document"
		}
	}
	return ""
}

// whole says why a host's agent does not see all hosts alive, and all services
// well: those that were just deployed have no certificate for some seconds.
func (f *fleet) whole(host string) string {
	f.t.Helper()
	return f.convenedAnd(host, func(s *agentapi.Status) string {
		for _, service := range s.Services {
			if service.Ready != service.Total || service.Total == 0 {
				return fmt.Sprintf("%s is ready at %d of %d: %+v", service.Name, service.Ready, service.Total, service.Endpoints)
			}
		}
		return ""
	})
}

// convenedAnd says why a host's agent is not convened, or what else is missing of it.
func (f *fleet) convenedAnd(host string, missing func(*agentapi.Status) string) string {
	f.t.Helper()
	if why := f.convened(host); why != "" {
		return why
	}
	s := f.agent(host)
	if s == nil {
		return "no answer"
	}
	return missing(s)
}

// wantConvened waits until the agents of hosts, or of all, see all of them.
func (f *fleet) wantConvened(t *testing.T, hosts ...string) {
	t.Helper()
	if hosts == nil {
		hosts = f.hosts
	}
	t.Logf("all hosts alive with one document after %.1f s", f.wantNothing(t, hosts, f.convened).Seconds())
}

// wantWhole waits until all agents see all hosts alive and all services well.
func (f *fleet) wantWhole(t *testing.T) {
	t.Helper()
	t.Logf("all hosts alive and all services well after %.1f s", f.wantNothing(t, f.hosts, f.whole).Seconds())
}

// wantNothing waits until nothing is missing of hosts, and says how long it took.
func (f *fleet) wantNothing(t *testing.T, hosts []string, missing func(host string) string) time.Duration {
	t.Helper()
	began := time.Now()
	for _, host := range hosts {
		why := ""
		if !within(patience-time.Since(began), func() bool { why = missing(host); return why == "" }) {
			t.Fatalf("%s after %s: %s\n%s", host, patience, why, f.ssh(host, "journalctl -u nixmesh-agent --no-pager -n 40"))
		}
	}
	return time.Since(began)
}

// said waits for a problem of a host's agent that holds a text.
func (f *fleet) said(t *testing.T, host, text string) {
	t.Helper()
	var last *agentapi.Status
	until(t, fmt.Sprintf("the agent of %s says %q", host, text), func() bool {
		last = f.agent(host)
		return last != nil && slices.ContainsFunc(last.Problems, func(p agentapi.Problem) bool { return strings.Contains(p.What, text) })
	})
}

const agentUnit = "nixmesh-agent.service"

// agentPID is the main process of a host's agent.
func (f *fleet) agentPID(host string) string {
	f.t.Helper()
	return strings.TrimSpace(f.ssh(host, "systemctl show -P MainPID "+agentUnit).want(f.t, 0).stdout)
}
