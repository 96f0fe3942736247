package controlplane

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/controlplane/xds/delta"
	"github.com/nixmesh/nixmesh/hostfacts"
)

// envoy is the Envoy that the facts name, nil where they name none.
func (p *proxy) envoy() *hostfacts.Envoy {
	if f := p.facts.Load(); f != nil && f.Mesh != nil {
		return f.Mesh.Envoy
	}
	return nil
}

// ready is nil when Envoy listens as it was told, or where there is none.
func (p *proxy) ready() error {
	if p.envoy() == nil {
		return nil
	}
	return p.readyAs(p.server.Status())
}

func (p *proxy) readyAs(s delta.Status) error {
	switch {
	case !s.Connected:
		return errors.New("this host's Envoy is not connected")
	case !s.ListenersAcked:
		return errors.New("this host's Envoy has not acknowledged its listeners yet")
	}
	return p.inbound(s)
}

// inbound is nil when Envoy has the listener of the mesh, in whatever version, or none
// is wanted.
func (p *proxy) inbound(s delta.Status) error {
	key := xds.Inbound()
	p.mu.Lock()
	wanted := p.set[key] != nil
	p.mu.Unlock()
	if has, known := p.server.Has(key); !wanted || has || !known {
		return nil
	}
	for _, r := range s.Refused {
		if r.Key == key || slices.Contains(r.Held, key) {
			return fmt.Errorf("this host's Envoy takes no calls: %s", refusedText(refusedStatus(r)))
		}
	}
	return errors.New("this host's Envoy has not acknowledged the listener of the mesh yet")
}

// lacking are the listeners that Envoy refuses and has in no version, with its words.
func lacking(s delta.Status) map[string]string {
	lacks := map[string]string{}
	for _, r := range s.Refused {
		if r.Key.Type == xds.Listener && r.Good == "" {
			lacks[r.Key.Name] = refusedText(refusedStatus(r))
		}
	}
	return lacks
}

// listens is nil when Envoy is ready and has every listener, but for some that it may
// lack.
func (p *proxy) listens(s delta.Status, but map[string]string) error {
	if err := p.readyAs(s); err != nil {
		return err
	}
	lacks := lacking(s)
	for _, name := range slices.Sorted(maps.Keys(lacks)) {
		if _, may := but[name]; !may {
			return errors.New("this host's Envoy does not listen as it should: " + lacks[name])
		}
	}
	return nil
}

// status is the proxy's part of a status, nil where the host has no Envoy.
func (p *proxy) status() *agentapi.ProxyStatus {
	envoy := p.envoy()
	if envoy == nil {
		return nil
	}
	s := p.server.Status()
	out := &agentapi.ProxyStatus{
		Connected: s.Connected, Since: s.Since, Envoy: line(s.Envoy, maxAgent), Wanted: envoy.Version,
		Listening: s.ListenersAcked, Settled: s.Settled, Pending: s.Pending, Warming: s.Warming,
	}
	for _, r := range s.Refused {
		out.Refused = append(out.Refused, refusedStatus(r))
	}
	out.Strangers, out.LastStranger = p.door.turnedAway()
	p.mu.Lock()
	defer p.mu.Unlock()
	out.Built, out.Held = p.version, p.held
	out.Problems = append(out.Problems, p.found...)
	return out
}

func refusedStatus(r delta.Refused) agentapi.ProxyRefused {
	out := agentapi.ProxyRefused{
		Type: typeName(r.Key.Type), Name: r.Key.Name, Version: r.Version, About: aboutText(r.About), Text: line(r.Text, maxEnvoyText),
		InForce: r.Good, Retry: r.Retry,
	}
	for _, k := range r.Held {
		out.Held = append(out.Held, k.Name)
	}
	return out
}

// maxEnvoyText bounds what Envoy says of a resource that it refuses, in bytes.
const maxEnvoyText = 400

// found takes what a build could not do, and keeps since when that is so.
func (p *proxy) problems(now []xds.Problem) {
	at := p.agent.opts.Clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.found
	p.found = make([]agentapi.ProxyProblem, 0, len(now))
	for _, one := range now {
		next := agentapi.ProxyProblem{About: aboutText(one.About), Text: line(one.Text, maxEnvoyText), Level: levelName(one.Level), Since: at}
		for _, old := range before {
			if old.About == next.About && old.Text == next.Text {
				next.Since = old.Since
			}
		}
		p.found = append(p.found, next)
	}
}

const (
	patience     = 30 * time.Second // until what should come by itself is a problem
	maxToldOnes  = 16               // problems of one kind that are told, besides their number
	proxyProblem = "proxy "         // begins the keys of problems
)

// tell lets people know what is wrong with Envoy, and what is over; and says whether
// it is connected.
func (p *proxy) tell() (connected bool) {
	if p.envoy() == nil {
		p.agent.problems.clearAll(proxyProblem)
		return false
	}
	s, on := p.server.Status(), "systemctl status nixmesh-envoy"
	dump := "nixmesh mesh dump " + p.agent.host
	open := map[string]agentapi.Problem{}
	add := func(key, next, format string, args ...any) {
		open[proxyProblem+key] = agentapi.Problem{What: fmt.Sprintf(format, args...), Next: next}
	}
	now := p.agent.opts.Clock.Now()
	since(s.Connected, &p.lost, now)
	since(s.Settled || !s.Connected, &p.unsettled, now)
	if overdue(p.lost, now) {
		add("connection", on, "the Envoy of this host is not connected: it serves as it was told last, if it runs")
	}
	if overdue(p.unsettled, now) && len(s.Refused) == 0 {
		what := fmt.Sprintf("Envoy has not acknowledged %d resources", s.Pending)
		if len(s.Warming) > 0 {
			what += "; it waits for " + strings.Join(s.Warming[:min(5, len(s.Warming))], ", ")
		}
		add("settled", dump, "%s", what)
	}
	for i, r := range s.Refused {
		if i == maxToldOnes {
			add("refused more", dump, "Envoy refuses %d more resources", len(s.Refused)-i)
			break
		}
		add("refused "+r.Key.Name, dump, "%s", refusedText(refusedStatus(r)))
	}
	p.mu.Lock()
	told := 0
	for _, one := range p.found {
		if one.Level == agentapi.ProxyWaiting && now.Sub(one.Since) < patience {
			continue
		}
		if told++; told > maxToldOnes {
			continue
		}
		what := one.Text
		if one.About != "" {
			what = one.About + ": " + what
		}
		add("found "+what, "", "%s", what)
	}
	if told > maxToldOnes {
		add("found more", "nixmesh mesh status "+p.agent.host+" -o json", "%d more parts of the mesh configuration could not be told to Envoy", told-maxToldOnes)
	}
	p.mu.Unlock()
	for key, problem := range open {
		p.agent.problems.set(key, problem.What, problem.Next)
	}
	for key := range p.open {
		if _, still := open[key]; !still {
			p.agent.problems.clear(key)
		}
	}
	p.open = open
	return s.Connected
}

// refusedText says what Envoy refuses, why, and what that means.
func refusedText(r agentapi.ProxyRefused) string {
	text := fmt.Sprintf("Envoy refuses the %s %s", r.Type, r.Name)
	if r.About != "" {
		text += " (" + r.About + ")"
	}
	text += ": " + r.Text
	switch {
	case r.InForce != "":
		text += "; what acted before stays"
	case !r.Retry.IsZero():
		text += "; it is offered again and again"
	default:
		text += "; nothing acts in its place"
	}
	if len(r.Held) > 0 {
		text += fmt.Sprintf(", and it holds back %s", strings.Join(r.Held[:min(3, len(r.Held))], ", "))
	}
	return text
}

// since keeps the moment at which something ceased to be well.
func since(well bool, at *time.Time, now time.Time) {
	switch {
	case well:
		*at = time.Time{}
	case at.IsZero():
		*at = now
	}
}

func overdue(at, now time.Time) bool { return !at.IsZero() && now.Sub(at) >= patience }
