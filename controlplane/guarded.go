package controlplane

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/api"
	"github.com/nixmesh/nixmesh/guard"
)

// guardNews is how long something that the guard saw is a problem.
const guardNews = 10 * time.Minute

const guardProblem = "guard " // begins the keys of problems

// guarded is what this host's guard says, which keeps the kernel's table of who may
// connect where. The agent only reads it.
type guarded struct {
	path string // "" = this agent looks at none

	mu       sync.Mutex // guards what follows
	report   *guard.Report
	missing  time.Time // since when there is no report that can be read
	squatted time.Time // when that count rose last
}

func newGuarded(runtime string) *guarded {
	if runtime == "" {
		return &guarded{}
	}
	return &guarded{path: filepath.Join(runtime, filepath.Base(guard.ReportPath))}
}

// look reads the report again. wanted is whether this host has a guard.
func (g *guarded) look(p *problems, wanted bool) {
	if g.path == "" || !wanted {
		p.clearAll(guardProblem)
		return
	}
	report, err := guard.ReadReport(g.path)
	now := p.clock.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	since(err == nil, &g.missing, now)
	if err != nil {
		if overdue(g.missing, now) {
			g.report = nil // it was so once
			if errors.Is(err, fs.ErrNotExist) {
				err = errors.New("the guard of this host says nothing: whether only declared callers are let through is not known")
			}
			p.set(guardProblem+"report", err.Error(), "systemctl status nixmesh-guard-watch")
		}
		return
	}
	if g.report != nil && report.Counts.Squatted > g.report.Counts.Squatted {
		g.squatted = now
	}
	g.report = report
	p.clear(guardProblem + "report")
	g.judge(p, now)
}

// judge tells people what is wrong with the table. mu is held.
func (g *guarded) judge(p *problems, now time.Time) {
	r := g.report
	var failed, alone, changed, squatted error
	if r.Error != "" {
		failed = fmt.Errorf("the kernel's table of who may connect where is not loaded: %s", line(r.Error, maxEnvoyText))
	}
	if r.Apart != "" {
		alone = fmt.Errorf("the kernel's table of who may connect where has no copy: whoever removes it opens this host until it is back: %s", line(r.Apart, maxEnvoyText))
	}
	if r.Last != nil && now.Sub(r.Last.At) < guardNews {
		by := "somebody"
		if r.Last.By != "" {
			by = line(r.Last.By, maxAgent)
		}
		changed = fmt.Errorf("%s changed the kernel's table of who may connect where at %s; it was put back (%d times since the host booted)",
			by, r.Last.At.UTC().Format(time.TimeOnly), r.Restored)
	}
	if !g.squatted.IsZero() && now.Sub(g.squatted) < guardNews {
		squatted = fmt.Errorf("somebody answers on a port of Envoy or of a service who is not its user; what it says is dropped (%d packets)", r.Counts.Squatted)
	}
	p.check(guardProblem+"table", failed, "systemctl status nixmesh-guard-watch")
	p.check(guardProblem+"copy", alone, "systemctl status nixmesh-guard-watch")
	p.check(guardProblem+"changed", changed, "journalctl -u nixmesh-guard-watch")
	p.check(guardProblem+"squatted", squatted, "ss -ltnp")
}

// status is the guard's part of a status, nil where there is none.
func (g *guarded) status() *agentapi.GuardStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.report
	if r == nil {
		return nil
	}
	c := r.Counts
	return &agentapi.GuardStatus{
		Loaded: r.Error == "" && r.Table != "", Copy: r.Copy, Since: r.Since, Restored: r.Restored,
		Undeclared: c.Undeclared, AppDenied: c.AppDenied, EgressDenied: c.EgressDenied, Squatted: c.Squatted, Outside: c.Outside, Plaintext: c.Plaintext,
	}
}

func (g *guarded) metrics() []api.Metric {
	s := g.status()
	if s == nil {
		return nil
	}
	return []api.Metric{
		metric(api.GuardLoaded, truth(s.Loaded)),
		metric(api.GuardRestored, s.Restored),
		labelled(api.GuardPackets, "reason", "undeclared", s.Undeclared),
		labelled(api.GuardPackets, "reason", "app_denied", s.AppDenied),
		labelled(api.GuardPackets, "reason", "egress_denied", s.EgressDenied),
		labelled(api.GuardPackets, "reason", "squatted", s.Squatted),
		labelled(api.GuardPackets, "reason", "outside", s.Outside),
		labelled(api.GuardPackets, "reason", "plaintext", s.Plaintext),
	}
}
