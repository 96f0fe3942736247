package deploy

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// RollbackOptions choose what a rollback brings back.
type RollbackOptions struct {
	Hosts  []string // nil = all
	To     int      // release, 0 = the newest complete one before the live one
	Accept []string
}

// PlanRollback plans a forward release with the contents of an older one.
// Nothing is evaluated or built: the toplevels are rooted on the hosts.
func (d *Deployer) PlanRollback(ctx context.Context, o RollbackOptions) (*Plan, error) {
	seen, history := d.inspectAll(ctx)
	target, err := rollbackTarget(history, o.To)
	if err != nil {
		return nil, err
	}
	hosts := o.Hosts
	if hosts == nil {
		hosts = hostNames(d.Fleet)
	}
	want := Toplevels{}
	var asked []string
	for _, h := range hosts {
		if top := target.Release.Hosts[h].Toplevel; top != "" {
			want[h] = top
			asked = append(asked, h)
		} else {
			d.note(h, "release %d has no system for it: left as it is", target.Release.Number)
		}
	}
	p, err := d.planFrom(ctx, want, PlanOptions{Hosts: asked, Accept: o.Accept, Brief: true}, seen, history)
	if err != nil {
		return nil, err
	}
	p.Kind, p.Restores = ReleaseRollback, target.Release.Number
	if target.Release.Kind == ReleaseRollback {
		p.Restores = target.Release.Restores
	}
	p.Waves = backwards(p.Waves)
	slices.Reverse(p.Hosts)
	for _, h := range p.Hosts {
		h.module = target.Release.Hosts[h.Host].Module
	}
	d.restoreMesh(ctx, p, target, o.Hosts, seen)
	each(asked, inspectWidth, func(h string) { d.unitsThere(ctx, p, h) })
	return p, nil
}

func rollbackTarget(history *History, to int) (*Stored, error) {
	live := history.Live()
	if live == nil {
		return nil, &Error{Exit: ExitRefused, Err: fmt.Errorf("there is no release to go back from"), Next: "nixmesh deploy"}
	}
	if to != 0 {
		s := history.Find(to)
		if s == nil {
			return nil, &Error{Exit: ExitRefused, Err: fmt.Errorf("no host that answers keeps release %d", to), Next: "nixmesh release list"}
		}
		return s, nil
	}
	if s := history.Before(); s != nil {
		return s, nil
	}
	return nil, &Error{Exit: ExitRefused, Next: "nixmesh release list, then nixmesh rollback --to N",
		Err: fmt.Errorf("no complete release before release %d is kept", live.Release.Number)}
}

// restoreMesh plans to sign the configuration of an older release again. One that
// is kept nowhere stays as it is.
func (d *Deployer) restoreMesh(ctx context.Context, p *Plan, target *Stored, hosts []string, seen map[string]*Seen) {
	if target.Release.Mesh == nil {
		return
	}
	asked := d.meshHosts(hosts, seen)
	config, err := d.keptConfig(ctx, target.Release.Mesh.Config, asked)
	if err != nil {
		p.Notes = append(p.Notes, fmt.Sprintf("mesh: stays as it is: %v", err))
		return
	}
	p.Mesh = d.planMesh(ctx, p, PlanOptions{Hosts: hosts, Mesh: &MeshNext{Config: config}}, seen)
}

// RollbackSettle is how long units and checks have to hold in a rollback: its
// systems have proved themselves before, and it is for when things burn.
const RollbackSettle = time.Second

// cascade switches the hosts of a rollback, the last wave first. A wave starts
// when every host of the one before it has armed: from there each resolves by
// itself, and waiting for proof in turn would cost seconds a wave when things
// burn. A failure starts no further wave.
func (e *execution) cascade(soft, hard context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	for i, w := range e.plan.Waves {
		if e.failures() > e.d.Fleet.Rollout.MaxFailed {
			e.stop("a host failed")
		}
		if e.stopping(soft) {
			return
		}
		e.d.emit(Event{Kind: KindWave, Wave: i + 1, Waves: len(e.plan.Waves), Detail: w.Name, Hosts: w.Hosts, Number: e.plan.Number})
		for _, h := range w.Hosts {
			if e.result(h) == nil {
				under.Go(func() { e.perform(hard, h) })
			}
		}
		for _, h := range w.Hosts {
			if e.result(h) == nil {
				<-e.runs[h].armed
			}
		}
	}
}

// unitsThere compares the units of both systems in the host's own store, and
// reads there what will be signed.
func (d *Deployer) unitsThere(ctx context.Context, p *Plan, host string) {
	i := slices.IndexFunc(p.Hosts, func(h *HostPlan) bool { return h.Host == host })
	if i < 0 || !p.Hosts[i].changes() {
		return
	}
	l, err := d.link(host)
	if err != nil {
		return
	}
	h := p.Hosts[i]
	var old, new map[string]unitFile
	var err1, err2 error
	var all sync.WaitGroup
	all.Go(func() { old, err1 = readUnits(ctx, l.shell, h.Old) })
	all.Go(func() { new, err2 = readUnits(ctx, l.shell, h.New) })
	all.Go(func() {
		// Where it fails, it is read once more when it is needed.
		if info, err := readPathInfo(ctx, l.shell, h.New); err == nil {
			h.info = &info
		}
	})
	all.Go(func() {
		if facts, err := readFacts(ctx, l.shell, h.New); err == nil {
			h.Envoy = h.envoyChange(facts)
		}
	})
	all.Wait()
	if err2 != nil {
		h.refuse(ExitRefused, Typed(d.Fleet.Lab, "nixmesh deploy"), "release %d is not kept there any more: %v", p.Restores, err2)
		return
	}
	if err1 == nil {
		h.Units = diffUnits(old, new)
	}
}
