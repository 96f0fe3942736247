package deploy

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/rollback"
)

// hostRun is one attempt to bring one host from OLD to NEW.
type hostRun struct {
	d       *Deployer
	plan    *HostPlan
	link    *link
	id      string
	stored  *Stored // the release that this run belongs to
	sigs    []string
	options RunOptions
	leases  *leases

	started time.Time
	waited  time.Duration // between prepare and perform, not counted as its own
	ready   time.Time     // when prepare ended
	phase   Phase         // column that is under way
	since   time.Time
	failed  sync.Once // the failure is told once
	rooted  bool      // the journal is open on the host, and no activate can have been taken
	// armed is closed when the host has taken over (armed, and activating) or
	// the run is over before that.
	armed     chan struct{}
	armedOnce sync.Once
	result    HostResult
}

// RunOptions are what one deploy may change about each run.
type RunOptions struct {
	Confirm time.Duration // 0 = host.json's
	Settle  time.Duration
	Accept  []string
	Test    bool // never commit
	Keep    int  // releases that hosts keep
	// Hold is called when a test stands, and returns when it should end. nil
	// ends it at once.
	Hold func(ctx context.Context, host string)
}

// newRun makes the attempt of id for one host.
func (e *execution) newRun(p *HostPlan, l *link, id string, s *Stored) *hostRun {
	return &hostRun{d: e.d, plan: p, link: l, id: id, stored: s, options: e.o.Run, leases: e.leases,
		started: e.d.now(), armed: make(chan struct{}), result: newResult(p)}
}

// tookOver lets the next wave of a rollback start.
func (r *hostRun) tookOver() { r.armedOnce.Do(func() { close(r.armed) }) }

// begin and ok tell the columns.
func (r *hostRun) begin(p Phase) {
	r.phase, r.since = p, r.d.now()
	r.d.emit(Event{Kind: KindHost, Host: r.plan.Host, Phase: p, State: StateStart})
}

func (r *hostRun) ok(detail string) {
	r.d.emit(Event{Kind: KindHost, Host: r.plan.Host, Phase: r.phase, State: StateOK, Detail: detail, Took: took(r.d.now().Sub(r.since))})
}

func (r *hostRun) progress(detail string) {
	r.d.emit(Event{Kind: KindHost, Host: r.plan.Host, Phase: r.phase, State: StateProgress, Detail: detail})
}

// fail tells a failed phase with its reason and log, once a run.
func (r *hostRun) fail(reason string, log []string) {
	r.failed.Do(func() {
		r.d.emit(Event{Kind: KindHost, Host: r.plan.Host, Phase: r.phase, State: StateFail, Detail: reason, Took: took(r.d.now().Sub(r.since))})
		r.d.emit(Event{Kind: KindFailure, Host: r.plan.Host, Phase: r.phase, Detail: reason, Log: fold(log)})
		if e, ok := remote.Explain(reason); ok {
			r.d.note(r.plan.Host, "%s; next: %s", e.Means, e.Next)
		}
	})
}

// finish writes the end of the run.
func (r *hostRun) finish(end End, reason string) HostResult {
	r.tookOver()
	r.result.End, r.result.Reason = end, reason
	r.result.Took = took(r.d.now().Sub(r.started) - r.waited)
	res := r.result
	r.d.emit(Event{Kind: KindResult, Host: r.plan.Host, Result: &res})
	return res
}

// newResult starts from what the host was before.
func newResult(p *HostPlan) HostResult {
	return HostResult{Host: p.Host, WasGen: p.Generation, WasRelease: p.Release, Gen: p.Generation, Release: p.Release, Toplevel: p.Old}
}

// prepare copies NEW and opens the run on the host: record stored, roots made,
// journal rooted. Nothing is switched, so every failure leaves the host as it is.
func (r *hostRun) prepare(ctx context.Context, copied bool) error {
	if !copied {
		r.begin(PhaseCopy)
		if err := r.copy(ctx); err != nil {
			return err
		}
	}
	if r.plan.Action == ActionFirst {
		r.link.command = firstCommand(r.link.target.User, r.plan.New)
		if _, err := r.leases.take(ctx, r.link, leaseRun, r.id, 0); err != nil {
			return err
		}
	}
	if err := r.record(ctx); err != nil {
		return err
	}
	err := r.root(ctx)
	if err != nil && !copied && missingPath(err) {
		// A garbage collection ate a path between copy and root: once more.
		if err = r.copy(ctx); err == nil {
			err = r.root(ctx)
		}
	}
	if err != nil {
		return err
	}
	if !copied {
		r.ok("")
	}
	r.ready = r.d.now()
	return nil
}

func missingPath(err error) bool {
	t := err.Error()
	return strings.Contains(t, "don't know how to build") || strings.Contains(t, "is not valid")
}

// record stores the release record on the host.
func (r *hostRun) record(ctx context.Context) error {
	req := rollback.RecordRequest{Record: r.stored.Raw, Keep: r.options.Keep}
	req.Record.Outcome = nil
	if r.plan.Action == ActionFirst {
		req.NewToplevel = r.plan.New
	}
	return r.link.insist(ctx, callTimeout, rollback.VerbRecord, nil, req, nil)
}

func (r *hostRun) root(ctx context.Context) error {
	req := rollback.RootRequest{
		Release: r.stored.Release.Number, ReleaseHash: r.stored.Raw.Hash, New: r.plan.New,
		Expect: r.plan.Old, Signatures: r.sigs, Accept: r.options.Accept,
		First: r.plan.Action == ActionFirst, Test: r.options.Test,
	}
	if s := r.plan.seen; s != nil && s.Facts != nil {
		req.Profile = s.Facts.Profile
	}
	req.Confirm = hostfacts.Duration(r.options.Confirm)
	req.Settle = hostfacts.Duration(r.options.Settle)
	err := r.link.insist(ctx, callTimeout, rollback.VerbRoot, []string{r.id}, req, nil)
	r.rooted = err == nil || lost(err)
	return err
}

// abandonTimeout bounds the end of a run that will not be performed: without it
// the next deploy takes the host over.
const abandonTimeout = 10 * time.Second

// abandon ends a rooted run on the host, so that nobody finds one that is not
// over. A host that does not answer keeps it until the next deploy.
func (r *hostRun) abandon(ctx context.Context, why string) {
	req := rollback.RevertRequest{Reason: why}
	_ = r.link.insist(ctx, abandonTimeout, rollback.VerbRevert, []string{r.id}, req, nil)
	r.rooted = false
}

// perform switches a rooted host and follows it to its end. ctx is the hard
// context: an interruption does not abandon a host half-way.
func (r *hostRun) perform(ctx context.Context) HostResult {
	if !r.ready.IsZero() {
		r.waited = r.d.now().Sub(r.ready)
	}
	r.begin(PhaseArm)
	err := r.activate(ctx)
	r.rooted = refusalCode(err) != "" || errors.Is(err, ErrSudo)
	if err != nil {
		if lost(err) {
			// Whether the host armed is for its journal to say.
			return r.follow(ctx)
		}
		r.fail(plain(r.plan.Host, err), nil)
		if refusalCode(err) == rollback.CodeFailed {
			return r.follow(ctx)
		}
		return r.finish(EndFailed, plain(r.plan.Host, err))
	}
	r.tookOver()
	return r.follow(ctx)
}

// activate asks for the switch. It is repeated only while the journal still
// says rooted, so it never starts twice.
func (r *hostRun) activate(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		err := r.link.call(ctx, rollback.VerbActivate, []string{r.id}, nil, nil)
		if err == nil || attempt == 5 || !again(err) {
			return err
		}
		var st rollback.StatusAnswer
		if e := r.link.insist(ctx, 30*time.Second, rollback.VerbStatus, nil, rollback.StatusRequest{Run: r.id}, &st); e != nil {
			return err
		}
		if st.Journal != nil && st.Journal.Run == r.id && st.Journal.Phase != rollback.PhaseRooted {
			return nil
		}
	}
}

// WithoutHost is an error without the host's name in front, for lines that have it.
func WithoutHost(host string, err error) string { return plain(host, err) }

// plain is WithoutHost, in short.
func plain(host string, err error) string {
	t := err.Error()
	for _, verb := range []string{host + ": ", "activate: ", "root: ", "record: ", "lease: ", "preflight: ", "envoy: "} {
		t = strings.TrimPrefix(t, verb)
	}
	return t
}
