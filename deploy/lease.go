package deploy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/rollback"
)

// ErrMoved says that another deployer was at work since the plan was made: the
// plan has to be made anew.
var ErrMoved = errors.New("the fleet moved since this plan was made")

// The two leases of a host.
const (
	leaseRun    = "run"    // keeps other deployers from switching it
	leaseLedger = "ledger" // gives out release numbers
)

// leases holds what was taken, renews it every Times.Renew, and drops it all at
// the end.
type leases struct {
	d      *Deployer
	holder string
	reason string

	mu     sync.Mutex // guards what follows
	held   []heldLease
	waited bool // for somebody else's, so that a plan may be old
	stop   context.CancelFunc
	done   chan struct{}
}

type heldLease struct {
	link *link
	what string
	run  string
}

func (d *Deployer) newLeases(reason string) *leases {
	return &leases{d: d, holder: d.Holder, reason: reason}
}

// take takes one lease, waiting up to patience for a held one or for a run that
// is not over. The answer carries release records for the ledger's lease.
func (ls *leases) take(ctx context.Context, l *link, what, run string, patience time.Duration) (*rollback.LeaseAnswer, error) {
	req := rollback.LeaseRequest{Run: run, Holder: ls.holder, Reason: ls.reason}
	deadline := ls.d.now().Add(patience)
	told := false
	for {
		var ans rollback.LeaseAnswer
		err := l.call(ctx, rollback.VerbLease, []string{"take", what}, req, &ans)
		if err == nil {
			ls.mu.Lock()
			ls.held = append(ls.held, heldLease{link: l, what: what, run: run})
			ls.mu.Unlock()
			return &ans, nil
		}
		code := refusalCode(err)
		waits := code == rollback.CodeLeaseHeld || code == rollback.CodeBusy
		if !waits || !ls.d.now().Before(deadline) {
			return nil, explainLease(l.target.Name, err)
		}
		if !told {
			told = true
			ls.mu.Lock()
			ls.waited = true
			ls.mu.Unlock()
			ls.d.note(l.target.Name, "waiting: %s", plain(l.target.Name, err))
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(ls.d.Times.LockPoll):
		}
	}
}

// explainLease makes a held lease a refusal with advice.
func explainLease(host string, err error) error {
	var r *RefusedError
	if !errors.As(err, &r) {
		return err
	}
	next := r.Refusal.Next
	if next == "" {
		next = "the same command with --wait-lock 90s"
	}
	switch r.Refusal.Code {
	case rollback.CodeLeaseHeld, rollback.CodeBusy, rollback.CodeOperator:
		return &Error{Exit: ExitRefused, Err: fmt.Errorf("%s: %s", host, r.Refusal.Error), Next: next}
	}
	return err
}

// keep starts the renewals; drop ends them.
func (ls *leases) keep(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	ls.stop, ls.done = cancel, make(chan struct{})
	go func() {
		defer close(ls.done)
		tick := time.NewTicker(ls.d.Times.Renew)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				ls.renew(ctx)
			}
		}
	}()
}

// renew renews everything once. A host that does not answer is asked again at
// the next tick: it keeps the lease for a minute.
func (ls *leases) renew(ctx context.Context) {
	var wg sync.WaitGroup
	for _, h := range ls.all() {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, ls.d.Times.Renew)
			defer cancel()
			req := rollback.LeaseRequest{Run: h.run, Holder: ls.holder, Reason: ls.reason}
			// Sudo's hiccups and lost connections are for the next tick.
			_ = h.link.call(ctx, rollback.VerbLease, []string{"renew", h.what}, req, nil)
		})
	}
	wg.Wait()
}

func (ls *leases) all() []heldLease {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return append([]heldLease(nil), ls.held...)
}

// release drops one lease before the end.
func (ls *leases) release(ctx context.Context, l *link, what string) {
	ls.mu.Lock()
	var mine []heldLease
	rest := ls.held[:0:0]
	for _, h := range ls.held {
		if h.link == l && h.what == what {
			mine = append(mine, h)
		} else {
			rest = append(rest, h)
		}
	}
	ls.held = rest
	ls.mu.Unlock()
	dropAll(ctx, ls.goodbyes(mine))
}

// Bounds of the goodbye: to a host that may only be busy, and whose lease would
// refuse the next deploy for a minute, and to one that is away already.
const (
	dropTimeout = 30 * time.Second
	dropAway    = 5 * time.Second
)

// goodbye is a lease to drop, and how long to insist.
type goodbye struct {
	heldLease
	req      rollback.LeaseRequest
	patience time.Duration
}

func (ls *leases) goodbyes(held []heldLease) []goodbye {
	all := make([]goodbye, len(held))
	for i, h := range held {
		all[i] = goodbye{h, rollback.LeaseRequest{Run: h.run, Holder: ls.holder, Reason: ls.reason}, dropAway}
		if h.link.connected() {
			all[i].patience = dropTimeout
		}
	}
	return all
}

// drop ends the renewals and drops everything that is held. Hosts that do not
// answer let it go stale.
func (ls *leases) drop(ctx context.Context) {
	all := ls.goodbyes(ls.all()) // first: a renewal that is ended closes its connection
	if ls.stop != nil {
		ls.stop()
		<-ls.done
	}
	ls.mu.Lock()
	ls.held = nil
	ls.mu.Unlock()
	dropAll(ctx, all)
}

func dropAll(ctx context.Context, all []goodbye) {
	var wg sync.WaitGroup
	for _, g := range all {
		wg.Go(func() {
			_ = g.link.insist(ctx, g.patience, rollback.VerbLease, []string{"drop", g.what}, g.req, nil)
		})
	}
	wg.Wait()
}
