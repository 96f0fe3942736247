package deploy

import (
	"context"
	"fmt"

	"github.com/nixmesh/nixmesh/rollback"
)

// What a rollout does when more than max_failed hosts failed.
const (
	OnFailStop          = "stop"
	OnFailRevertWave    = "revert-wave"
	OnFailRevertRelease = "revert-release"
)

// onFail acts after wave number wave went beyond max_failed: no further host is
// started, and hosts that committed go back where the rollout says so.
func (e *execution) onFail(hard context.Context, wave int) {
	action := e.d.Fleet.Rollout.OnFail
	e.stop(fmt.Sprintf("rollout on_fail = %q", action))
	var back []string
	switch action {
	case OnFailRevertWave:
		back = e.committed(e.plan.Waves[wave].Hosts)
	case OnFailRevertRelease:
		for i := wave; i >= 0; i-- {
			back = append(back, e.committed(e.plan.Waves[i].Hosts)...)
		}
	}
	if len(back) == 0 {
		return
	}
	e.d.note("", "%s: back to the old system on %v", action, back)
	each(back, len(back), func(h string) { e.set(e.undo(hard, e.runs[h])) })
}

func (e *execution) committed(hosts []string) []string {
	var c []string
	for _, h := range hosts {
		if r := e.result(h); r != nil && r.End == EndDeployed {
			c = append(c, h)
		}
	}
	return c
}

// undo brings a committed host back to OLD by a run of its own. It counts for
// the release that OLD belongs to, so that the host's outcomes stay true.
func (e *execution) undo(ctx context.Context, r *hostRun) HostResult {
	done := *e.result(r.plan.Host)
	if r.plan.Action == ActionFirst {
		done.Reason = "kept: what ran before has no nixmesh to go back with"
		return done
	}
	belongs := e.stored
	if s := e.plan.history.Find(r.plan.Release); s != nil {
		belongs = s
	}
	now := *r.plan.seen
	facts := *now.Facts
	facts.Current, facts.Profile = r.plan.New, r.plan.New
	now.Facts = &facts
	p := &HostPlan{Host: r.plan.Host, Action: ActionChange, Old: r.plan.New, New: r.plan.Old, Generation: done.Gen, Release: e.plan.Number, seen: &now}
	back := e.newRun(p, r.link, newRun(e.plan.Number), belongs)
	fail := func(err error) HostResult {
		back.fail("go back: "+plain(p.Host, err), nil)
		done.Reason = "deployed, and could not be brought back: " + plain(p.Host, err)
		done.End = EndNeedsOperator
		return done
	}
	e.leases.release(ctx, r.link, leaseRun)
	if _, err := e.leases.take(ctx, r.link, leaseRun, back.id, callTimeout); err != nil {
		return fail(err)
	}
	if err := back.signThere(ctx); err != nil {
		return fail(err)
	}
	if err := back.root(ctx); err != nil {
		return fail(err)
	}
	res := back.perform(ctx)
	res.WasGen, res.WasRelease = done.WasGen, done.WasRelease
	if res.End == EndDeployed {
		if res.stale != nil {
			res.Envoy = e.renewEnvoy(ctx, p.Host, *res.stale)
		}
		res.End, res.Release, res.Reason = EndReverted, done.WasRelease, "with the release"
		e.mu.Lock()
		e.stored.Outcomes[p.Host] = Outcome{Release: e.stored.Raw.Hash, Run: back.id, End: string(rollback.PhaseRolledBack), Generation: res.Gen}
		e.mu.Unlock()
	} else {
		res.End, res.Reason = EndNeedsOperator, "could not be brought back: "+res.Reason
	}
	return res
}
