package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/nixmesh/nixmesh/mesh"
)

// meshRun brings the mesh from the live configuration to the next one beside a
// release: what only adds before the first host is switched, the rest when the
// last host is current. Nothing of it fails a host.
type meshRun struct {
	d      *Deployer
	plan   *MeshPlan
	number int

	during *mesh.Document // published before the first host; nil where the live one serves
	final  *mesh.Document // published after the last; nil where that changes nothing
	over   bool           // every host that was to be switched was

	mu      sync.Mutex      // guards what follows
	agents  map[string]bool // hosts whose agents are known to be there
	results []*MeshResult
}

// newMeshRun lays out the documents of a plan, nil where the mesh is left
// alone. They are signed when they are published.
func (d *Deployer) newMeshRun(p *Plan) *meshRun {
	if p.Mesh == nil || !p.Mesh.On {
		return nil
	}
	m := &meshRun{d: d, plan: p.Mesh, number: p.Number, agents: map[string]bool{}}
	for _, h := range p.Mesh.Agents {
		m.agents[h] = true
	}
	m.layOut(len(p.Waves) == 0)
	return m
}

// layOut makes the documents. Where no host is switched there is no time between
// two configurations, and so no document for it.
func (m *meshRun) layOut(atOnce bool) {
	live := m.plan.live
	before, config := live.document, live.config
	m.during = nil
	if !atOnce || len(m.plan.Behind) > 0 {
		m.during = m.next(before, config, m.plan.during)
	}
	if m.during != nil {
		before, config = m.during, m.during.Config
	}
	m.final = m.next(before, config, m.plan.next)
}

// next is the document that brings a configuration into force after another,
// nil where it is in force already.
func (m *meshRun) next(before *mesh.Document, has, config *mesh.Config) *mesh.Document {
	if before != nil && has != nil && has.Hash() == config.Hash() {
		return nil
	}
	d := mesh.NextDocument(before, config, m.d.Operator)
	d.Release = int64(m.number)
	return d
}

// record is what the release record says of the mesh.
func (m *meshRun) record() *ReleaseMesh {
	if m == nil {
		return nil
	}
	r := &ReleaseMesh{Behind: m.plan.Behind}
	end := m.final
	if len(m.plan.Behind) > 0 || end == nil {
		end = m.during
	}
	if end == nil {
		end = m.plan.live.document
	}
	r.Config = m.plan.target().Hash()
	if end != nil {
		r.Version, r.Hash = end.Version, end.Hash()
	}
	if during := m.plan.during; during.Hash() != m.plan.next.Hash() {
		kept, waits := keeps(during, m.plan.next)
		r.During, r.Kept, r.Waits = during.Hash(), r.cut(kept), r.cut(waits)
	}
	return r
}

// keep writes the configurations into the copy of the releases.
func (m *meshRun) keep() {
	if m == nil {
		return
	}
	for _, c := range []*mesh.Config{m.plan.during, m.plan.next} {
		if err := m.d.Local.WriteMesh(c); err != nil {
			m.d.note("", "%v", err)
		}
	}
}

// begin publishes what only adds, before the first host is switched. Where that
// fails the hosts go on: what is new there is pending until the end.
func (m *meshRun) begin(ctx context.Context) {
	if m == nil || m.during == nil || len(m.agents) == 0 {
		return
	}
	result := m.publish(ctx, m.during)
	if result.Error != "" {
		m.d.note("", "mesh: what is new was not published before the hosts, and comes with the rest: %s", result.Error)
		m.layOut(true)
		return
	}
	m.d.note("", "mesh: what is new is in force: version %d %s", result.Version, result)
}

// committed gives a host that got its first agent by this deploy the document
// that is in force.
func (m *meshRun) committed(ctx context.Context, host string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	known := m.agents[host]
	m.mu.Unlock()
	if known {
		return
	}
	document := m.during
	if document == nil {
		document = m.plan.live.document
	}
	if document == nil {
		return
	}
	if err := m.sign(ctx, document); err != nil {
		m.d.note(host, "its agent gets no configuration yet: %v", err)
		return
	}
	answer, err := m.d.putPatiently(ctx, host, document.Canonical())
	switch {
	case errors.Is(err, ErrNoAgent):
		m.d.note(host, "its agent did not start; it gets the configuration from its peers when it does")
		return
	case err != nil:
		m.d.note(host, "its agent does not have the configuration yet, and asks its peers for it: %s", plain(host, err))
	default:
		// Where nothing was known of what is in force, the end of the release sees
		// to it.
		if why := refusedBy(answer, document); why != "" && m.plan.live.document != nil {
			m.d.note(host, "its agent does not act on version %d: %s", document.Version, why)
		}
	}
	m.mu.Lock()
	m.agents[host] = true
	m.mu.Unlock()
}

// sign signs a document once, however many hosts are waiting for it.
func (m *meshRun) sign(ctx context.Context, d *mesh.Document) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.Signature != "" {
		return nil
	}
	return m.d.signMesh(ctx, d)
}

// finish publishes the rest, where every host of the spec is current; else the
// union stays in force.
func (m *meshRun) finish(ctx context.Context, behind []string) {
	if m == nil {
		return
	}
	m.plan.Behind, m.over = behind, true
	switch {
	case len(m.agents) == 0:
	case len(behind) == 0 && m.final != nil:
		m.publish(ctx, m.final)
	case m.during != nil && (m.last() == nil || m.last().Error != ""):
		m.publish(ctx, m.during) // nobody had an agent before, no host was switched, or it failed then
	}
}

// publish signs a document and brings it to agents.
func (m *meshRun) publish(ctx context.Context, d *mesh.Document) *MeshResult {
	result := &MeshResult{Applied: []string{}}
	m.mu.Lock()
	m.results = append(m.results, result)
	hosts := make([]string, 0, len(m.agents))
	for h := range m.agents {
		hosts = append(hosts, h)
	}
	m.mu.Unlock()
	slices.Sort(hosts)
	err := m.bring(ctx, d, hosts, result)
	var fork *ForkedError
	if errors.As(err, &fork) && m.plan.live.document == nil {
		// No agent told what is in force when the plan was made, and now one does.
		if d := m.rebase(ctx, hosts); d != nil {
			err = m.bring(ctx, d, hosts, result)
		}
	}
	result.end(err)
	return result
}

func (m *meshRun) bring(ctx context.Context, d *mesh.Document, hosts []string, r *MeshResult) error {
	r.Version, r.Hash, r.Config = d.Version, d.Hash(), d.Config.Hash()
	if err := m.sign(ctx, d); err != nil {
		return err
	}
	to := publication{agents: hosts, unasked: m.plan.live.unasked, none: m.plan.live.none}
	if m.over {
		to.owed = slices.DeleteFunc(slices.Clone(to.none), func(h string) bool { return slices.Contains(m.plan.Behind, h) })
	}
	return m.d.publish(ctx, d, to, r)
}

// rebase lays the documents out anew after what agents have, and gives the one
// that should be in force now, nil where that cannot be known.
func (m *meshRun) rebase(ctx context.Context, hosts []string) *mesh.Document {
	live := m.d.liveMesh(ctx, hosts, &History{})
	if live.document == nil {
		return nil
	}
	m.plan.compare(live, nil)
	m.layOut(true)
	next := m.final
	if len(m.plan.Behind) > 0 {
		next = m.during
	}
	if next == nil {
		return live.document
	}
	return next
}

// last is the result of what was published last, nil where nothing was.
func (m *meshRun) last() *MeshResult {
	if m == nil || len(m.results) == 0 {
		return nil
	}
	return m.results[len(m.results)-1]
}

// held says what is kept, and what waits, until every host of the spec is
// current; "" where nothing is.
func (m *meshRun) held() string {
	if m == nil || len(m.plan.Behind) == 0 || m.plan.live.config == nil {
		return ""
	}
	kept, waits := keeps(m.plan.during, m.plan.next)
	if len(kept)+len(waits) == 0 {
		return ""
	}
	return fmt.Sprintf("Until %s: %s.", behindText(m.plan.Behind), keptText(kept, waits))
}

// behindText is "db2 runs this release", or "2 hosts run this release (app1, db2)".
func behindText(hosts []string) string {
	if len(hosts) == 1 {
		return hosts[0] + " runs this release"
	}
	return fmt.Sprintf("%s run this release (%s)", plural(len(hosts), "host"), some(hosts))
}

// signMesh signs a document with the operator's key.
func (d *Deployer) signMesh(ctx context.Context, doc *mesh.Document) error {
	if d.SignMesh == nil {
		return fmt.Errorf("sign mesh document: no key to sign with")
	}
	return doc.Sign(func(namespace string, message []byte) (string, error) { return d.SignMesh(ctx, namespace, message) })
}
