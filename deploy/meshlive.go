package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// meshAsked is how many agents are asked for the document in force. Agents that
// hear of each other have the same one, and the others tell when one is put to
// them.
const meshAsked = 16

// meshLive is the configuration in force, as far as it is known.
type meshLive struct {
	document *mesh.Document // nil: no agent that answered has one
	config   *mesh.Config   // the document's, or that of the newest release; nil: not known
	from     string
	agents   []string // hosts whose agents answered, whatever they have
	unasked  []string // reachable hosts that were not asked: there are many
	none     []string // hosts that have no agent yet
	silent   []AskedAgent
	notes    []string
}

func (l *meshLive) info() *MeshLive {
	info := &MeshLive{Config: l.config.Hash(), From: l.from}
	if d := l.document; d != nil {
		info.Version, info.Hash, info.Operator = d.Version, d.Hash(), d.Operator
	}
	return info
}

// liveMesh asks the agents of hosts, the first of them first, for the document
// that they act on, and takes the greatest. Where none has one, it is the newest
// release that says which configuration is in force.
func (d *Deployer) liveMesh(ctx context.Context, hosts []string, history *History) *meshLive {
	l := &meshLive{agents: []string{}}
	acts := map[string][]string{} // hash -> hosts
	documents := map[string]*mesh.Document{}
	l.unasked = slices.Clone(hosts)
	for _, a := range askSome(ctx, hosts, meshAsked, d.documentOf) {
		l.unasked = slices.DeleteFunc(l.unasked, func(h string) bool { return h == a.host })
		if a.err != nil {
			if errors.Is(a.err, ErrNoAgent) {
				l.none = append(l.none, a.host)
			} else {
				l.silent = append(l.silent, silent(a.host, a.err))
			}
			continue
		}
		l.agents = append(l.agents, a.host)
		if *a.answer == nil {
			continue
		}
		doc, err := d.readDocument(*a.answer)
		if err != nil {
			l.notes = append(l.notes, fmt.Sprintf("%s: its agent's configuration is left out: %v", a.host, err))
			continue
		}
		hash := doc.Hash()
		documents[hash] = doc
		acts[hash] = append(acts[hash], a.host)
	}
	for hash, doc := range documents {
		if l.document != nil && doc.Link().Compare(l.document.Link()) < 0 {
			continue
		}
		if err := d.signers().Check(doc); err != nil && !history.recorded(doc) && (len(acts[hash]) < 2 || 2*len(acts[hash]) <= len(l.agents)) {
			// Agents check with what their hosts know. A signer who has left the spec
			// is no reason to forget what is in force, but one host alone could lie,
			// and have its words signed with the next version.
			l.notes = append(l.notes, fmt.Sprintf("%s: version %d by %s is left out: %v", some(acts[hash]), doc.Version, doc.Operator, err))
			continue
		}
		l.document, l.config, l.from = doc, doc.Config, acts[hash][0]
	}
	if l.document == nil {
		l.recorded(ctx, d, history)
	}
	return l
}

// recorded takes what the newest release left in force, from the copy here.
func (l *meshLive) recorded(_ context.Context, d *Deployer, history *History) {
	release := history.mesh()
	if release == nil {
		return
	}
	config, err := d.Local.ReadMesh(release.Release.Mesh.Config)
	if err != nil {
		l.notes = append(l.notes, fmt.Sprintf("what is in force is not known: no agent tells it, and of release %d: %v", release.Release.Number, err))
		return
	}
	l.config, l.from = config, fmt.Sprintf("release %d", release.Release.Number)
}

// documentOf asks one agent for the text of its document, nil where it has none.
func (d *Deployer) documentOf(ctx context.Context, host string) (*[]byte, error) {
	c, err := d.agent(ctx, host)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	text, err := c.Document(ctx, "")
	var none *agentapi.Failure
	if errors.As(err, &none) && none.Status == http.StatusNotFound {
		return new([]byte), nil
	}
	if err != nil {
		return nil, err
	}
	return &text, nil
}

// readDocument reads what an agent gave: bounded, valid, and of this fleet.
func (d *Deployer) readDocument(text []byte) (*mesh.Document, error) {
	if len(text) > mesh.MaxSize {
		return nil, fmt.Errorf("%d bytes, at most %d are taken", len(text), mesh.MaxSize)
	}
	doc, err := mesh.ParseDocument(text)
	if err != nil {
		return nil, err
	}
	if doc.Fleet != d.Fleet.Name {
		return nil, fmt.Errorf("it is of fleet %q", doc.Fleet)
	}
	return doc, nil
}

// signers are the operators of the spec.
func (d *Deployer) signers() *mesh.Signers {
	s := &mesh.Signers{Verify: trust.Verify, Keys: map[string][]string{}}
	for _, o := range d.Fleet.Operators {
		s.Keys[o.Name] = o.Sign
	}
	return s
}

// keptConfig is a configuration by its hash: from the copy here, else from an
// agent that keeps the document which had it.
func (d *Deployer) keptConfig(ctx context.Context, hash string, hosts []string) (*mesh.Config, error) {
	config, local := d.Local.ReadMesh(hash)
	if local == nil {
		return config, nil
	}
	ask := func(ctx context.Context, host string) (*mesh.Config, error) {
		c, err := d.agent(ctx, host)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		text, err := c.Document(ctx, hash)
		if err != nil {
			return nil, err
		}
		doc, err := d.readDocument(text)
		if err != nil {
			return nil, err
		}
		if got := doc.Config.Hash(); got != hash { // the hash vouches for it, whoever signed
			return nil, fmt.Errorf("%s: asked for configuration %.12s, got %.12s", host, hash, got)
		}
		return doc.Config, nil
	}
	var why error
	for _, a := range askSome(ctx, hosts, meshAsked, ask) {
		if a.err == nil {
			return a.answer, nil
		}
		why = cmp.Or(why, a.err)
	}
	if why == nil {
		why = local
	}
	return nil, fmt.Errorf("configuration %.12s is kept by no agent that answers: %w", hash, why)
}

// agent is a client of a host's agent.
func (d *Deployer) agent(ctx context.Context, host string) (*agentapi.Client, error) {
	if d.Agents != nil {
		return d.Agents(ctx, host)
	}
	return d.Agent(ctx, host)
}

// meshHosts are the hosts whose agents are worth asking: those that answered,
// planned ones first, then those of the ledger.
func (d *Deployer) meshHosts(planned []string, seen map[string]*Seen) []string {
	var hosts []string
	for _, h := range slices.Concat(planned, LedgerHosts(d.Fleet), hostNames(d.Fleet)) {
		if s := seen[h]; s != nil && s.Err == nil && !s.First && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}
