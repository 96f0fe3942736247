package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/compile"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/rollback"
)

// follow watches a run over whatever connection can be had until the host says
// how it ended. A connection that is lost is opened again until the host's own
// deadline is past: by then the host has decided alone.
func (r *hostRun) follow(ctx context.Context) HostResult {
	f := follower{r: r, resolveBy: r.d.now().Add(r.longest())}
	wait := 100 * time.Millisecond
	for {
		st, err := f.ask(ctx)
		switch {
		case err == nil:
			wait = 100 * time.Millisecond
			if res, over := f.take(ctx, st); over {
				return res
			}
			continue
		case ctx.Err() != nil:
			return r.finish(EndNoAnswer, "left by the deployer; the host resolves it by itself")
		case !lost(err) && !errors.Is(err, ErrSudo):
			f.answered = err
			if refusalCode(err) == rollback.CodeUsage {
				r.fail(plain(r.plan.Host, err), nil)
				return r.finish(EndNoAnswer, plain(r.plan.Host, err))
			}
		case errors.Is(err, ErrSudo):
			wait = min(wait, 200*time.Millisecond)
		default:
			f.away(err)
		}
		if r.d.now().After(f.resolveBy) {
			r.fail("no answer until its own deadline was past", nil)
			return r.finish(EndNoAnswer, "it does not answer; by itself it went back, or it is down")
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(wait*2, 2*time.Second)
	}
}

// longest is how long a host may take until it has resolved a run that nobody
// follows, before it has said so itself.
func (r *hostRun) longest() time.Duration {
	rollout := r.d.Fleet.Rollout
	confirm := max(rollout.Confirm, r.options.Confirm)
	return rollout.ActivateTimeout + confirm + 30*time.Second + r.d.Times.Grace
}

// follower is what follow knows so far.
type follower struct {
	r         *hostRun
	phase     rollback.Phase // of the last answer
	resolveBy time.Time
	told      bool  // that the connection was lost
	answered  error // last answer that was no status
	asked     bool  // for the commit
	refused   string
}

// ask waits on the host for a change.
func (f *follower) ask(ctx context.Context) (*rollback.StatusAnswer, error) {
	t := f.r.d.Times
	req := rollback.StatusRequest{Run: f.r.id}
	args := []string(nil)
	if f.phase != "" && !f.asked {
		req.While = []rollback.Phase{f.phase}
		req.WaitFor = hostfacts.Duration(t.Poll)
		args = []string{"--wait"}
	}
	if f.asked {
		req.While = []rollback.Phase{rollback.PhaseVerifying, rollback.PhaseCommitting}
		req.WaitFor = hostfacts.Duration(t.Poll)
		args = []string{"--wait"}
	}
	ctx, cancel := context.WithTimeout(ctx, t.Poll+10*time.Second)
	defer cancel()
	var st rollback.StatusAnswer
	if err := f.r.link.call(ctx, rollback.VerbStatus, args, req, &st); err != nil {
		return nil, err
	}
	return &st, nil
}

// away tells once that the connection is gone.
func (f *follower) away(err error) {
	if f.told {
		return
	}
	f.told = true
	f.r.d.note(f.r.plan.Host, "connection lost; the run goes on there, connecting again (%v)", err)
}

// take looks at one answer; over says that the run ended.
func (f *follower) take(ctx context.Context, st *rollback.StatusAnswer) (res HostResult, over bool) {
	if f.told {
		f.told = false
		f.r.d.note(f.r.plan.Host, "connected again")
	}
	j := st.Journal
	if j == nil || j.Run != f.r.id {
		text := "its journal is of another run"
		f.r.fail(text, nil)
		return f.r.finish(EndFailed, text), true
	}
	if j.Deadline > 0 {
		f.resolveBy = f.r.d.now().Add(time.Duration(j.Deadline*float64(time.Second)) + f.r.d.Times.Grace)
	}
	f.columns(j)
	f.phase = j.Phase
	if j.Phase.Terminal() {
		return f.end(st), true
	}
	if v := j.Verdict; j.Phase == rollback.PhaseVerifying && v != nil && v.Good && !f.asked {
		f.close(ctx, st)
	}
	return HostResult{}, false
}

// columns moves the columns along with the host's phase.
func (f *follower) columns(j *rollback.JournalView) {
	r := f.r
	switch j.Phase {
	case rollback.PhaseActivating:
		if r.phase == PhaseArm {
			r.ok("")
			r.begin(PhaseSwitch)
		}
	case rollback.PhaseVerifying:
		f.passTo(PhaseVerify)
		if p := j.Progress; p != nil && j.Verdict == nil {
			text := fmt.Sprintf("%d/%d", p.Passed, p.Total)
			if p.Waiting != "" {
				text += " " + p.Waiting
			}
			r.progress(text)
		}
	case rollback.PhaseCommitting, rollback.PhaseCommitted:
		f.passTo(PhaseCommit)
	case rollback.PhaseRollingBack:
		f.restoring(j)
	}
}

// passTo closes the columns before p and opens it.
func (f *follower) passTo(p Phase) {
	for _, x := range []Phase{PhaseArm, PhaseSwitch, PhaseVerify, PhaseCommit} {
		if f.r.phase == p {
			return
		}
		if f.r.phase == x {
			f.r.ok("")
			next := map[Phase]Phase{PhaseArm: PhaseSwitch, PhaseSwitch: PhaseVerify, PhaseVerify: PhaseCommit}[x]
			if next == "" {
				return
			}
			f.r.begin(next)
		}
	}
}

// restoring tells the failure and that the host goes back.
func (f *follower) restoring(j *rollback.JournalView) {
	if f.r.phase == PhaseRestore {
		return
	}
	if f.r.options.Test && f.asked {
		f.r.ok("stood")
	} else {
		reason, log := reasonOf(j)
		f.r.fail(reason+f.r.place(j), log)
	}
	f.r.begin(PhaseRestore)
}

// place is where the service or check that failed stands in the HCL, "" where
// none is to blame.
func (r *hostRun) place(j *rollback.JournalView) string {
	v := j.Verdict
	if v == nil || v.Good || v.Service == "" {
		return ""
	}
	// Checks go by their instance: that of api@v2.service is "api@v2". The unit of
	// a NixOS module has another name than its service.
	p := cmp.Or(compile.CheckPlace(r.d.Fleet, strings.TrimSuffix(v.Unit, ".service")),
		compile.CheckPlace(r.d.Fleet, v.Service), compile.ServicePlace(r.d.Fleet, v.Service))
	r.result.Place = p.String()
	if r.result.Place == "" {
		return ""
	}
	return "   at " + r.result.Place
}

// reasonOf gives the words and the log of a run that failed.
func reasonOf(j *rollback.JournalView) (string, []string) {
	if v := j.Verdict; v != nil && !v.Good && v.Reason != "" {
		return v.Reason, firstOf(v.Log, j.LogTail)
	}
	reason := j.Reason
	if reason == "" {
		reason = string(j.Phase)
	}
	return reason, j.LogTail
}

func firstOf(a, b []string) []string {
	if len(a) > 0 {
		return a
	}
	return b
}

// end reads the result out of the last answer.
func (f *follower) end(st *rollback.StatusAnswer) HostResult {
	r, j := f.r, st.Journal
	r.result.Gen, r.result.Toplevel = st.Gen, st.Current
	if j.Generation > 0 {
		r.result.Gen = j.Generation
	}
	reason, log := reasonOf(j)
	if j.Verdict != nil {
		r.result.Service = j.Verdict.Service
	}
	switch j.Phase {
	case rollback.PhaseCommitted:
		r.result.Release = r.stored.Release.Number
		r.result.stale = staleEnvoy(st.Envoy)
		r.ok(fmt.Sprintf("gen=%d", r.result.Gen))
		return r.finish(EndDeployed, "")
	case rollback.PhaseRolledBack:
		f.restoring(j)
		r.result.Degraded = len(j.LeftFailed) > 0
		r.ok(fmt.Sprintf("gen=%d", r.result.Gen))
		if r.options.Test && f.asked {
			return r.finish(EndTested, "")
		}
		if r.result.Degraded {
			return r.finish(EndNeedsOperator, fmt.Sprintf("%s; back on the old system, where %v fail now", reason, j.LeftFailed))
		}
		return r.finish(EndRolledBack, reason)
	case rollback.PhaseNeedsOperator:
		r.fail(reason, log)
		return r.finish(EndNeedsOperator, reason)
	}
	r.fail(reason, log)
	return r.finish(EndFailed, reason)
}
