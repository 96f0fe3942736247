package controlplane

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/mesh"
)

// inForce is the document that this agent acts on.
type inForce struct {
	document *mesh.Document
	link     mesh.Link
	config   string // hash of the configuration
	since    time.Time
}

func (d *inForce) api() agentapi.Document {
	if d == nil {
		return agentapi.Document{}
	}
	return agentapi.Document{
		Version: d.link.Version, Hash: d.link.Hash, Config: d.config,
		Operator: d.link.Operator, Release: d.document.Release, Since: d.since,
	}
}

// record is the document as hosts announce it.
func (d *inForce) record() (announced catalog.Document) {
	if d != nil {
		announced.Version = uint64(d.link.Version)
		_, _ = hex.Decode(announced.Hash[:], []byte(d.link.Hash)) // a hash is 64 digits
	}
	return announced
}

// documents decides which mesh configuration this agent acts on.
type documents struct {
	files  *files
	shelf  *shelf
	poison *poison
	trying *trying
	clock  Clock
	logger *slog.Logger
	tell   func(agentapi.Event)
	act    func(d *inForce) // makes the agent act on it

	refusals *refusals // of what peers announce

	turn turn                    // one document is taken at a time
	live atomic.Pointer[inForce] // changed by whose turn it is

	mu        sync.Mutex // guards what follows
	fleet     string
	operators *operators
	offered   *agentapi.Offered
	judged    map[string]bool // hashes of good documents that were looked at, and not taken
}

// maxJudged bounds what is remembered of documents that were not taken.
const maxJudged = 1024

// localSource is who brought a document that came over the local API.
const localSource = "local"

// setFacts takes which fleet this host is of, and whose signatures count. What
// was refused may be good now.
func (d *documents) setFacts(fleet string, o *operators) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.operators == nil || !d.operators.equal(o) || d.fleet != fleet {
		clear(d.judged)
		d.refusals.forget()
		d.offered = nil
	}
	d.fleet, d.operators = fleet, o
}

// facts are the fleet that this host is of, and whose signatures count.
func (d *documents) facts() (fleet string, o *operators) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fleet, d.operators
}

// wants says whether a document that a host announces is worth asking for.
func (d *documents) wants(announced catalog.Document) bool {
	if announced == (catalog.Document{}) || announced.Version > mesh.MaxVersion {
		return false
	}
	link := mesh.Link{}
	if live := d.live.Load(); live != nil {
		link = live.link
	}
	return link.Wants(int64(announced.Version), hex.EncodeToString(announced.Hash[:]))
}

// known says whether a document was looked at already.
func (d *documents) known(hash string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.judged[hash]
}

// put takes a document that an operator brings: it has to continue what this
// agent has.
func (d *documents) put(text []byte) agentapi.Applied {
	err := d.take(text, localSource, func(have, candidate mesh.Link) error { return have.Publish(candidate) })
	applied := agentapi.Applied{Result: agentapi.ApplyInForce, In: d.live.Load().api()}
	var fork *mesh.ForkError
	switch {
	case errors.As(err, &fork):
		applied.Result, applied.Reason = agentapi.ApplyFork, err.Error()
	case err != nil:
		applied.Result, applied.Reason = agentapi.ApplyRefused, err.Error()
	}
	return applied
}

// receive takes a document that another agent has, and which was announced.
func (d *documents) receive(text []byte, from string, announced catalog.Document) error {
	hash := hex.EncodeToString(announced.Hash[:])
	err := d.take(text, from, func(_, candidate mesh.Link) error {
		switch {
		case candidate.Hash != hash:
			return fmt.Errorf("it is %.12s, and %.12s was announced", candidate.Hash, hash)
		case uint64(candidate.Version) != announced.Version:
			return fmt.Errorf("it is version %d, and was announced as %d", candidate.Version, announced.Version)
		}
		return nil
	})
	if err != nil {
		d.offer(agentapi.Offered{Version: int64(announced.Version), Hash: hash, From: from, Reason: err.Error()})
	}
	return err
}

func (d *documents) take(text []byte, from string, may func(have, candidate mesh.Link) error) error {
	d.turn.take()
	defer d.turn.give()
	hash := hashOf(text)
	before := d.live.Load()
	d.trying.begin(whatDocument, hash)
	acts := false
	err := d.poison.guard("document", func() []byte { return text }, func() (err error) {
		acts, err = d.judge(text, from, may)
		return err
	})
	if errors.Is(err, ErrPoison) && d.live.Load() != before {
		d.revert(before)
		acts = false
	}
	d.trying.taken(whatDocument, acts)
	if errors.Is(err, ErrPoison) {
		err = fmt.Errorf("%w; signed again as a new version, or with a newer nixmesh on this host, it is looked at again", err)
	}
	if err != nil {
		d.logger.Warn("mesh document refused", "from", from, "err", err)
	}
	return err
}

// judge takes a document, or says why not. It is this call's turn.
func (d *documents) judge(text []byte, from string, may func(have, candidate mesh.Link) error) (acts bool, err error) {
	document, err := mesh.ParseDocument(text)
	if err != nil {
		d.offer(agentapi.Offered{From: from, Reason: err.Error()})
		return false, err
	}
	have := mesh.Link{}
	if live := d.live.Load(); live != nil {
		have = live.link
	}
	candidate := &inForce{document: document, link: document.Link(), config: document.Config.Hash(), since: d.clock.Now()}
	offered := agentapi.Offered{Version: candidate.link.Version, Hash: candidate.link.Hash, From: from}
	fleet, operators := d.facts()
	step, err := operators.signers().Accept(fleet, have, document)
	if err != nil {
		offered.Reason = err.Error()
		d.offer(offered)
		return false, err
	}
	if err := may(have, candidate.link); err != nil {
		return false, err
	}
	if !step.Takes() {
		d.settle(candidate.link.Hash)
		if step != mesh.StepSame {
			d.shelf.put(candidate, text)
		}
		return false, nil
	}
	// The disk takes longer than all else, so it is last. Who brought the document is
	// answered after that; should a power cut be faster, the other hosts have it.
	d.install(candidate)
	d.shelf.put(candidate, text)
	d.files.save(fileDocument, text)
	d.logger.Info("mesh document in force", "version", candidate.link.Version, "hash", candidate.link.Hash,
		"operator", candidate.link.Operator, "from", from, "step", string(step))
	return true, nil
}

// install acts on a document. It is this call's turn.
func (d *documents) install(candidate *inForce) {
	d.live.Store(candidate)
	d.mu.Lock()
	if d.offered != nil && d.offered.Version <= candidate.link.Version {
		d.offered = nil
	}
	d.mu.Unlock()
	d.act(candidate)
	d.tell(agentapi.Event{
		Time: candidate.since, Kind: agentapi.EventDocument, State: fmt.Sprint(candidate.link.Version),
		Detail: fmt.Sprintf("version %d by %s (%.12s)", candidate.link.Version, candidate.link.Operator, candidate.link.Hash),
	})
}

// with works with the document in force, if there is one, while no other is taken.
func (d *documents) with(work func(d *inForce)) {
	d.turn.take()
	defer d.turn.give()
	if live := d.live.Load(); live != nil {
		work(live)
	}
}

// revert goes back to what was acted on before a document that made this agent
// fail. It is this call's turn.
func (d *documents) revert(before *inForce) {
	d.live.Store(before)
	if before == nil {
		d.files.remove(fileDocument)
		return
	}
	text := before.document.Canonical()
	d.files.save(fileDocument, text)
	// What worked before the other one came is not guarded: should it fail now,
	// the next start, with its mark, knows what to do.
	d.act(before)
}

// offer remembers a document that is not acted on.
func (d *documents) offer(o agentapi.Offered) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.offered = &o
}

// settle makes sure that a document is not asked for again.
func (d *documents) settle(hash string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.judged) >= maxJudged {
		clear(d.judged)
	}
	d.judged[hash] = true
}

// refused is the last document that is not acted on, nil when there is none.
func (d *documents) refused() *agentapi.Offered {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.offered == nil {
		return nil
	}
	o := *d.offered
	return &o
}

// load takes the document of the last run, or where that cannot be read the
// greatest one that is kept.
func (d *documents) load() {
	d.turn.take()
	defer d.turn.give()
	if text := d.files.read(fileDocument, mesh.MaxSize); text != nil {
		err := d.restore(text)
		if err == nil {
			return
		}
		d.files.setAside(fileDocument, err)
	}
	for _, name := range d.shelf.names() {
		text := d.shelf.read(name)
		if text == nil {
			continue
		}
		if err := d.restore(text); err != nil {
			d.shelf.setAside(name, err)
			continue
		}
		d.files.save(fileDocument, text)
		return
	}
}

// restore acts on a document of this agent's own disk, which was judged when it
// came. Where the host's facts cannot be read now that has to do. It is this
// call's turn.
func (d *documents) restore(text []byte) error {
	d.trying.begin(whatDocument, hashOf(text))
	acts := false
	err := d.poison.guard("document of the last run", func() []byte { return text }, func() error {
		document, err := mesh.ParseDocument(text)
		if err != nil {
			return err
		}
		if fleet, _ := d.facts(); fleet != "" && document.Fleet != fleet {
			return fmt.Errorf("it is of the fleet %q, this is %q", document.Fleet, fleet)
		}
		acts = true
		d.install(&inForce{document: document, link: document.Link(), config: document.Config.Hash(), since: d.clock.Now()})
		return nil
	})
	if err != nil {
		d.live.Store(nil)
		acts = false
	}
	d.trying.taken(whatDocument, acts)
	return err
}
