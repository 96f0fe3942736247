package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/rollback"
)

// PlanSchema names the JSON form of a plan.
const PlanSchema = "nixmesh.plan/1"

// Action is what a plan means for a host.
type Action string

// The actions of a plan.
const (
	ActionChange      Action = "change"
	ActionFirst       Action = "first" // first contact
	ActionUnchanged   Action = "unchanged"
	ActionUnreachable Action = "unreachable"
	ActionRefused     Action = "refused"
)

// Plan is what would happen, compared with what the hosts run right now.
type Plan struct {
	Schema   string      `json:"schema"`
	Fleet    string      `json:"fleet"`
	Kind     string      `json:"kind"`
	Number   int         `json:"release"` // that this would become
	Restores int         `json:"restores,omitempty"`
	Live     *LiveInfo   `json:"live,omitempty"`
	Hosts    []*HostPlan `json:"hosts"` // in the order of the waves
	Waves    []Wave      `json:"waves"` // of the hosts that change
	Total    int         `json:"fleet_hosts"`
	Notes    []string    `json:"notes,omitempty"`
	Mesh     *MeshPlan   `json:"mesh,omitempty"` // nil where the plan leaves it alone
	CA       *CAPlan     `json:"ca,omitempty"`   // nil without a CA
	// Evaluated hosts were not in the build's cache; nil where nothing was built
	// for the plan.
	Evaluated []string `json:"evaluated"`

	history *History
	lab     bool
	// facts of unplanned hosts, for the record
	carried map[string]string
	// ledger hosts whose lease the deploy holds
	ledger []string
}

// LiveInfo is the newest release.
type LiveInfo struct {
	Number   int       `json:"release"`
	Restores int       `json:"restores,omitempty"`
	By       string    `json:"by"`
	Time     time.Time `json:"time"`
	Complete bool      `json:"complete"`
}

// HostPlan is one host of a plan.
type HostPlan struct {
	Host       string          `json:"host"`
	Action     Action          `json:"action"`
	Old        string          `json:"old,omitempty"`
	New        string          `json:"new,omitempty"`
	Generation int             `json:"generation,omitempty"`
	Release    int             `json:"was_release,omitempty"`
	Units      UnitChanges     `json:"units"`
	Packages   []PackageChange `json:"packages,omitempty"`
	Added      int64           `json:"bytes_added"`
	Delta      int64           `json:"bytes_delta"`
	Drift      string          `json:"drift,omitempty"`
	Problem    *Problem        `json:"problem,omitempty"`
	OldVersion string          `json:"nixmesh_was,omitempty"`
	NewVersion string          `json:"nixmesh,omitempty"`
	Envoy      *EnvoyChange    `json:"envoy,omitempty"`   // nil where the one that runs goes on
	Guarded    bool            `json:"guarded,omitempty"` // from now on the kernel holds connections to what is declared
	Gates      []string        `json:"gates,omitempty"`   // what verification waits for beside units and the checks of services

	seen   *Seen
	facts  *hostfacts.Facts // host.json of New, nil where it was not read
	info   *PathInfo        // of New in the host's own store, nil where it was not read
	module string           // hash of the compiled host that New was built from, "" where it is not known
}

// Problem is why a host takes no part.
type Problem struct {
	Text string `json:"text"`
	Next string `json:"next,omitempty"`
	Exit Exit   `json:"exit"`
}

// Toplevels says what each host should run.
type Toplevels map[string]string

// PlanOptions choose what is compared.
type PlanOptions struct {
	Hosts  []string // hosts that were asked for
	Accept []string // risks, by name
	Brief  bool     // leave units and packages out
	// Mesh is what the mesh should be, nil where the plan leaves it alone.
	Mesh *MeshNext
}

// RiskDrift accepts hosts that do not run what their last run left.
const RiskDrift = "drift"

// Plan compares the toplevels that hosts should have with what they run.
func (d *Deployer) Plan(ctx context.Context, want Toplevels, o PlanOptions) (*Plan, error) {
	seen, history := d.inspectAll(ctx)
	p, err := d.planFrom(ctx, want, o, seen, history)
	if err != nil {
		return nil, err
	}
	if p.Mesh.Publishes() && p.onlyMesh() {
		p.Kind = ReleaseMeshOnly
	}
	p.CA = d.planCA(ctx, o.Accept, seen)
	return p, nil
}

func (d *Deployer) planFrom(ctx context.Context, want Toplevels, o PlanOptions, seen map[string]*Seen, history *History) (*Plan, error) {
	p := &Plan{Schema: PlanSchema, Fleet: d.Fleet.Name, Kind: ReleaseSystem, Number: history.highest + 1, Total: len(d.Fleet.Hosts),
		history: history, lab: d.Fleet.Lab, carried: map[string]string{}}
	if live := history.Live(); live != nil {
		p.Live = &LiveInfo{Number: live.Release.Number, Restores: live.Release.Restores, By: live.Release.By,
			Time: live.Release.Time, Complete: live.Complete()}
	}
	p.Notes = append(p.Notes, history.Ignored...)
	for _, n := range history.Fork() {
		p.Notes = append(p.Notes, fmt.Sprintf("release %d exists twice (two deployers, no common host): the next release goes on from the newest", n))
	}
	plans := map[string]*HostPlan{}
	for _, h := range o.Hosts {
		plans[h] = d.compare(seen[h], want[h], history, o)
	}
	for h, s := range seen {
		if s.Facts != nil && !slices.Contains(o.Hosts, h) {
			p.carried[h] = s.Facts.Current
		}
	}
	if !o.Brief {
		each(o.Hosts, 4, func(h string) { d.detail(ctx, plans[h]) })
	}
	for _, h := range o.Hosts {
		plans[h].Envoy = plans[h].envoyChange(plans[h].facts)
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	var changing []string
	for _, w := range Waves(d.Fleet, o.Hosts) {
		for _, h := range w.Hosts {
			p.Hosts = append(p.Hosts, plans[h])
			if problem := plans[h].Problem; problem != nil {
				problem.Next = Typed(d.Fleet.Lab, problem.Next)
			}
			if plans[h].changes() {
				changing = append(changing, h)
			}
		}
	}
	p.Waves = Waves(d.Fleet, changing)
	if o.Mesh != nil {
		for _, h := range p.Hosts {
			h.module = o.Mesh.Modules[h.Host]
		}
		p.Mesh = d.planMesh(ctx, p, o, seen)
		p.Mesh.foresee(p.Waves, p.unchanged())
	}
	return p, nil
}

// unchanged are the hosts that run what the spec says.
func (p *Plan) unchanged() []string {
	var hosts []string
	for _, h := range p.Hosts {
		if h.Action == ActionUnchanged {
			hosts = append(hosts, h.Host)
		}
	}
	return hosts
}

func (h *HostPlan) changes() bool { return h.Action == ActionChange || h.Action == ActionFirst }

// compare decides what becomes of one host.
func (d *Deployer) compare(s *Seen, want string, history *History, o PlanOptions) *HostPlan {
	h := &HostPlan{Host: s.Host, New: want, seen: s}
	if s.Err != nil {
		h.Action = ActionRefused
		h.Problem = problemOf(s.Err)
		d.explainKey(s.Host, s.Err, h.Problem)
		if s.Unreachable() {
			h.Action = ActionUnreachable
			h.Problem.Exit = ExitUnreachable
		}
		return h
	}
	f := s.Facts
	h.Old, h.Generation = f.Current, f.ProfileGeneration
	h.Release = history.Of(s.Host, f.Current)
	h.OldVersion = f.Version
	if s.First {
		h.Action = ActionFirst
		return h
	}
	if j := f.Journal; j != nil && j.Phase == rollback.PhaseNeedsOperator {
		return h.refuse(ExitDegraded, "nixmesh status "+s.Host, "the last run (%s) left it in neither state: %s", j.Run, j.Reason)
	}
	h.Drift = drift(f)
	switch {
	case f.Current == want && f.Profile == want:
		h.Action = ActionUnchanged
	case h.Drift != "" && !slices.Contains(o.Accept, RiskDrift):
		return h.refuse(ExitRefused, "nixmesh deploy --accept drift   goes on from what runs there", "%s", h.Drift)
	default:
		h.Action = ActionChange
	}
	return h
}

func (h *HostPlan) refuse(exit Exit, next, format string, args ...any) *HostPlan {
	h.Action = ActionRefused
	h.Problem = &Problem{Text: fmt.Sprintf(format, args...), Next: next, Exit: exit}
	return h
}

// drift says in words how a host left the state that its last run ended in, ""
// where it did not. A run that is not over is no drift: leases decide there.
func drift(f *rollback.Preflight) string {
	j := f.Journal
	if j == nil || !j.Phase.Terminal() || j.Phase == rollback.PhaseNone {
		return ""
	}
	expect := j.Old
	if j.Phase == rollback.PhaseCommitted {
		expect = j.New
	}
	if expect == "" {
		return ""
	}
	switch {
	case f.Current != expect:
		return fmt.Sprintf("it runs %s, its last run (%s, %s) left %s", short(f.Current), j.Run, j.Phase, short(expect))
	case f.Profile != "" && f.Profile != expect:
		return fmt.Sprintf("its next boot is %s, its last run (%s, %s) left %s", short(f.Profile), j.Run, j.Phase, short(expect))
	}
	return ""
}

// short is a store path without /nix/store and most of its hash.
func short(path string) string {
	if len(path) > 43 && path[:11] == "/nix/store/" {
		return path[11:18] + "…" + path[43:]
	}
	return path
}

// problemOf turns an error into a plan's problem.
func problemOf(err error) *Problem {
	p := &Problem{Text: err.Error(), Exit: ExitRefused}
	var e *Error
	if errors.As(err, &e) {
		p.Exit, p.Next = e.Exit, e.Next
		return p
	}
	var r *RefusedError
	if errors.As(err, &r) {
		p.Next = r.Refusal.Next
		if r.Status != int(ExitRefused) {
			p.Exit = ExitFailed
		}
	}
	if p.Next == "" {
		p.Next = nextOf(err)
	}
	return p
}

// explainKey recognises the key of another host of the fleet behind a wrong one.
func (d *Deployer) explainKey(host string, err error, p *Problem) {
	var key *remote.HostKeyError
	if !errors.As(err, &key) {
		return
	}
	for _, other := range d.Fleet.Hosts {
		t, err := d.Target(other.Name)
		if err != nil || other.Name == host {
			continue
		}
		if print, err := remote.Fingerprint(t.HostKey); err == nil && print == key.Got {
			p.Text = fmt.Sprintf("%s shows the host key of %s (%s), not of %s: were two addresses swapped?", key.Address, other.Name, key.Got, host)
			p.Next = "compare the addresses in " + d.host(host).Place.String() + " and " + other.Place.String()
			return
		}
	}
}

// nextOf is the advice that an error carries.
func nextOf(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Next != "" {
		return e.Next
	}
	var n interface{ Next() string }
	if errors.As(err, &n) {
		return n.Next()
	}
	return ""
}

// detail fills in units and packages of a host that changes, and refuses it
// where the uids of its users do not fit.
func (d *Deployer) detail(ctx context.Context, h *HostPlan) {
	if !h.changes() || h.New == "" {
		return
	}
	if facts, err := readFacts(ctx, d.Store.Shell, h.New); err == nil {
		h.facts, h.NewVersion = facts, facts.Nixmesh.Version
		for _, gate := range facts.Gates() {
			h.Gates = append(h.Gates, gate.Name)
		}
		if clash := uidClash(h.seen.Facts.Users, facts); clash != "" {
			h.refuse(ExitRefused, "NixOS never renumbers a user: free the number on the host (usermod --uid), or choose another one in nixmesh.lock", "%s", clash)
			return
		}
	}
	l, err := d.link(h.Host)
	if h.Action == ActionFirst {
		h.Guarded = h.facts != nil && h.facts.Mesh != nil && h.facts.Mesh.Envoy != nil
	}
	if err != nil || h.Action == ActionFirst {
		return
	}
	d.diff(ctx, h, l.shell, d.Store.Shell)
}

// diff compares the two systems. What cannot be read is left out: the plan is
// for reading, the host's own guards decide.
func (d *Deployer) diff(ctx context.Context, h *HostPlan, oldShell, newShell shell) {
	oldUnits, err1 := readUnits(ctx, oldShell, h.Old)
	newUnits, err2 := readUnits(ctx, newShell, h.New)
	if err1 == nil && err2 == nil {
		h.Units = diffUnits(oldUnits, newUnits)
		h.Guarded = newUnits[hostfacts.GuardUnit] != nil && oldUnits[hostfacts.GuardUnit] == nil
	}
	oldPaths, err1 := readClosure(ctx, oldShell, h.Old)
	newPaths, err2 := readClosure(ctx, newShell, h.New)
	if err1 == nil && err2 == nil {
		h.Packages, h.Added, h.Delta = diffClosures(oldPaths, newPaths)
	}
	if err := errors.Join(err1, err2); err != nil && context.Cause(ctx) == nil {
		d.note(h.Host, "units and packages could not be compared: %v", err)
	}
}

// Changes says whether the plan would change anything.
func (p *Plan) Changes() bool {
	return len(p.Waves) > 0 || p.Mesh.Publishes() || len(p.leftEnvoys()) > 0
}

// Exit is the worst problem of the plan's hosts.
func (p *Plan) Exit() Exit {
	worst := ExitDone
	for _, h := range p.Hosts {
		if h.Problem != nil {
			worst = Worst(worst, h.Problem.Exit)
		}
	}
	if p.CA != nil && p.CA.Problem != nil {
		worst = Worst(worst, p.CA.Problem.Exit)
	}
	return worst
}

// History is the releases that the hosts of the plan keep.
func (p *Plan) History() *History { return p.history }
