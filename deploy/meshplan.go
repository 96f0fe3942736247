package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/mesh"
)

// MeshNext is what a command wants of the mesh, by the spec.
type MeshNext struct {
	Config *mesh.Config
	// Modules are hashes of the compiled hosts, by host: what tells without a
	// build whether a host runs what the spec says.
	Modules map[string]string
	// Place says where a change stands in the HCL, "" where that is not known.
	Place func(mesh.Change) string
}

// MeshPlan is what a plan says of the mesh.
type MeshPlan struct {
	Hash  string     `json:"hash"` // of the mesh configuration
	Parts mesh.Parts `json:"parts"`
	// On says whether the fleet has a CA, and so agents. Without one the rest
	// is not there.
	On   bool `json:"on"`
	Acts bool `json:"acts"` // whether the plan changes what the agents act on

	Live    *MeshLive    `json:"live,omitempty"` // nil where no agent has a configuration yet, or none answered
	Changes []MeshChange `json:"changes,omitempty"`
	Agents  []string     `json:"agents"`           // hosts whose agents answered
	Silent  []AskedAgent `json:"silent,omitempty"` // reachable hosts whose agents did not
	// Away are hosts of the spec whose agents did not answer, or that have none;
	// of a plan for the mesh alone.
	Away []string `json:"away,omitempty"`
	// Behind are hosts that will not run what the spec says when the plan is
	// carried out. Until they do, what the configuration no longer has is kept,
	// and what it changes waits.
	Behind []string `json:"behind,omitempty"`
	// Needs are hosts whose facts would have to change first, where the plan is
	// of the mesh alone.
	Needs []string `json:"needs_deploy,omitempty"`
	Notes []string `json:"notes,omitempty"`
	// NotActing is what the configuration says and this release does not do.
	NotActing []string `json:"not_acting,omitempty"`

	live    *meshLive
	next    *mesh.Config
	during  *mesh.Config // in force while hosts are switched, and until the last is current
	modules map[string]string
}

// MeshLive names the configuration in force.
type MeshLive struct {
	Version  int64  `json:"version"`
	Hash     string `json:"hash,omitempty"`
	Config   string `json:"config"`
	Operator string `json:"operator,omitempty"`
	From     string `json:"from"` // the host whose agent told it, or the release of which it is
}

// MeshChange is one difference to the configuration in force.
type MeshChange struct {
	mesh.Change
	Place string `json:"place,omitempty"`
}

// meshOf is the part of a plan that only the spec says.
func meshOf(next *MeshNext) *MeshPlan {
	c := next.Config
	return &MeshPlan{Hash: c.Hash(), Parts: c.Parts(), On: c.TrustDomain != "", NotActing: c.NotActing(), Agents: []string{}, next: c, modules: next.Modules}
}

// compare fills in what is different from the live configuration.
func (m *MeshPlan) compare(live *meshLive, place func(mesh.Change) string) {
	m.live, m.Agents, m.Silent = live, live.agents, live.silent
	m.Notes = append(m.Notes, live.notes...)
	m.during = m.next
	if live.config == nil {
		m.Acts = true
		return
	}
	m.Live = live.info()
	for _, c := range mesh.Diff(live.config, m.next) {
		change := MeshChange{Change: c}
		if place != nil {
			change.Place = place(c)
		}
		m.Changes = append(m.Changes, change)
	}
	union, err := mesh.Union(live.config, m.next)
	if err != nil {
		m.Notes = append(m.Notes, fmt.Sprintf("mesh: the two configurations cannot be in force together, so all of it changes at the end: %v", err))
		union = live.config
	}
	m.during = union
	m.Acts = m.target().Hash() != live.config.Hash()
}

// target is the configuration in force when the plan has been carried out.
func (m *MeshPlan) target() *mesh.Config {
	if len(m.Behind) > 0 {
		return m.during
	}
	return m.next
}

// Publishes says whether carrying out the plan changes what agents act on, even
// where no host changes.
func (m *MeshPlan) Publishes() bool { return m != nil && m.On && m.Acts && len(m.Agents) > 0 }

// keeps are what a configuration has, and what it holds back, while hosts are
// behind the next one: "edge api -> stripe", "split api".
func keeps(during, next *mesh.Config) (kept, waits []string) {
	for _, c := range mesh.Diff(during, next) {
		name := c.Kind + " " + c.Subject
		if c.Op == "-" {
			kept = append(kept, name)
		} else {
			waits = append(waits, name)
		}
	}
	return kept, waits
}

// keptText is "1 edge kept (api -> stripe), 1 split waits (api)".
func keptText(kept, waits []string) string {
	var parts []string
	if len(kept) > 0 {
		parts = append(parts, tally(kept, "kept", "kept"))
	}
	if len(waits) > 0 {
		parts = append(parts, tally(waits, "waits", "wait"))
	}
	return strings.Join(parts, ", ")
}

// tally counts names by their first word: "1 edge kept (api -> stripe)".
func tally(names []string, one, many string) string {
	var kinds []string
	subjects := map[string][]string{}
	for _, name := range names {
		kind, subject, _ := strings.Cut(name, " ")
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
		subjects[kind] = append(subjects[kind], subject)
	}
	var parts []string
	for _, kind := range kinds {
		part := plural(len(subjects[kind]), kind)
		if len(names) <= namesShown {
			part += " (" + strings.Join(subjects[kind], ", ") + ")"
		}
		parts = append(parts, part)
	}
	text := strings.Join(parts, ", ")
	if open := strings.LastIndex(text, " ("); open >= 0 && len(kinds) == 1 {
		return text[:open] + " " + pick(len(names) == 1, one, many) + text[open:]
	}
	return text + " " + pick(len(names) == 1, one, many)
}

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// planMesh compares the mesh that the spec asks for with what agents act on.
func (d *Deployer) planMesh(ctx context.Context, p *Plan, o PlanOptions, seen map[string]*Seen) *MeshPlan {
	m := meshOf(o.Mesh)
	if !m.On {
		return m
	}
	m.Behind = d.behind(p, m.modules, func(h *HostPlan) bool {
		return h.Action == ActionUnchanged || h.changes()
	})
	m.compare(d.liveMesh(ctx, d.meshHosts(o.Hosts, seen), p.history), o.Mesh.Place)
	d.lookAtShares(ctx, m)
	return m
}

// behind are the hosts of the spec that do not run what it says: of those that
// the plan has, reached tells; of the others, whether what they run was built
// from the same compiled host.
func (d *Deployer) behind(p *Plan, modules map[string]string, reached func(*HostPlan) bool) []string {
	var behind []string
	for _, name := range hostNames(d.Fleet) {
		i := slices.IndexFunc(p.Hosts, func(h *HostPlan) bool { return h.Host == name })
		current := false
		if i >= 0 {
			current = reached(p.Hosts[i])
		} else if top := p.carried[name]; top != "" && modules[name] != "" {
			current = p.history.moduleOf(name, top) == modules[name]
		}
		if !current {
			behind = append(behind, name)
		}
	}
	return behind
}
