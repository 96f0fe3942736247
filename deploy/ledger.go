package deploy

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/rollback"
)

// openLedger takes the ledger's lease on every ledger host that answers and has
// nixmesh, in name order, and adds the records that it answers with. From then
// on until the leases are dropped nobody else makes a release.
func (d *Deployer) openLedger(ctx context.Context, ls *leases, p *Plan, id string, patience time.Duration) error {
	hosts := LedgerHosts(d.Fleet)
	before := p.history.highest
	var lastLost error
	p.ledger = nil
	for _, h := range hosts {
		s := d.seenOf(p, h)
		if s == nil || s.Err != nil || s.First {
			continue
		}
		l, err := d.link(h)
		if err != nil {
			return err
		}
		ans, err := ls.take(ctx, l, leaseLedger, id, patience)
		if lost(err) {
			lastLost = err
			continue
		}
		if err != nil {
			return err
		}
		for _, r := range ans.Records {
			p.history.add(h, d.Fleet.Name, r, d.Verify)
		}
		p.ledger = append(p.ledger, h)
	}
	if lastLost != nil {
		d.note("", "a ledger host does not answer: %v", lastLost)
	}
	if live := p.history.Live(); p.history.highest != before && live != nil {
		return &Error{Exit: ExitRefused, Next: "nixmesh plan",
			Err: fmt.Errorf("%w: release %d by %s", ErrMoved, live.Release.Number, live.Release.By)}
	}
	return nil
}

// seenOf is what a host said of itself when the plan was made, nil where it was
// not reached.
func (d *Deployer) seenOf(p *Plan, host string) *Seen {
	for _, h := range p.Hosts {
		if h.Host == host {
			return h.seen
		}
	}
	if _, known := p.carried[host]; known {
		return &Seen{Host: host}
	}
	return nil
}

// RecordInfo is what the command knows about a release beyond the plan.
type RecordInfo struct {
	Message string
	Spec    string // hex SHA-256 of the HCL files
	Git     *Git
	Inputs  map[string]string
	Risks   []string
}

// sign makes the release record of a plan: what every host of the spec should
// run and what its agents should act on, in bytes that are signed with the
// operator's key.
func (d *Deployer) sign(ctx context.Context, p *Plan, ms *meshRun, info RecordInfo) (*Stored, error) {
	r := &Release{Schema: RecordSchema, Number: p.Number, Fleet: d.Fleet.Name, Kind: p.Kind, Restores: p.Restores,
		By: d.Operator, Message: info.Message, Time: d.now().UTC().Truncate(time.Second), Spec: info.Spec, Git: info.Git,
		Inputs: info.Inputs, Nixmesh: d.Version, LabOverrides: d.Fleet.LabOverrides, Risks: slices.Sorted(slices.Values(info.Risks)),
		LedgerHosts: LedgerHosts(d.Fleet), Hosts: map[string]ReleaseHost{}}
	live := p.history.Live()
	if live != nil {
		r.Parent = live.Raw.Hash
	}
	runs := func(name, top string) ReleaseHost {
		return ReleaseHost{Toplevel: top, Module: p.history.moduleOf(name, top)}
	}
	for _, name := range hostNames(d.Fleet) {
		if top := p.carried[name]; top != "" {
			r.Hosts[name] = runs(name, top)
			if p.Kind == ReleaseMeshOnly { // compared, by what it was built from
				r.Hosts[name] = ReleaseHost{Toplevel: top, Module: r.Hosts[name].Module, Same: len(p.Hosts) == 0}
			}
		} else if live != nil && live.Release.Hosts[name].Toplevel != "" {
			r.Hosts[name] = runs(name, live.Release.Hosts[name].Toplevel)
		}
	}
	for _, h := range p.Hosts {
		switch h.Action {
		case ActionChange, ActionFirst, ActionUnreachable:
			was := h.Old
			if was == "" {
				was = r.Hosts[h.Host].Toplevel
			}
			r.Hosts[h.Host] = ReleaseHost{Toplevel: h.New, Was: was, Planned: true, Module: h.module}
		case ActionUnchanged:
			r.Hosts[h.Host] = ReleaseHost{Toplevel: h.New, Same: true, Module: h.module}
		case ActionRefused:
			if h.Old != "" {
				r.Hosts[h.Host] = runs(h.Host, h.Old)
			}
		}
	}
	r.Mesh = ms.record()
	body, err := r.encode()
	if err != nil {
		return nil, err
	}
	sig, err := d.Sign(ctx, body)
	if err != nil {
		return nil, fmt.Errorf("sign release %d: %w", r.Number, err)
	}
	raw := rollback.Record{Number: r.Number, Hash: hashOf(body), Body: body, Sig: sig}
	return &Stored{Release: r, Raw: raw, Outcomes: map[string]Outcome{}}, nil
}
