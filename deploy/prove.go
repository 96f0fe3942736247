package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/rollback"
)

// close ends a run whose verdict is good: a fresh connection is proved, then the
// commit is asked for (or the revert, in a test). Until one of them is asked,
// every failure is tried again; the host's timer is what ends it.
func (f *follower) close(ctx context.Context, st *rollback.StatusAnswer) {
	r := f.r
	if v := st.Journal.Verdict; v.Total > 0 {
		r.progress(fmt.Sprintf("%d/%d, new connection", v.Passed, v.Total))
	}
	fresh, err := r.prove(ctx, st)
	if err != nil {
		if text := plain(r.plan.Host, err); text != f.refused {
			f.refused = text
			r.d.note(r.plan.Host, "no fresh connection yet: %s", text)
		}
		select {
		case <-ctx.Done():
		case <-time.After(r.d.Times.Prove):
		}
		return
	}
	if fresh != nil {
		r.link.adopt(fresh)
	}
	if r.options.Test {
		if r.options.Hold != nil {
			r.options.Hold(ctx, r.plan.Host)
		}
		err = r.link.insist(ctx, callTimeout, rollback.VerbRevert, []string{r.id}, rollback.RevertRequest{Reason: "deploy --test"}, nil)
		f.asked = err == nil
		return
	}
	if r.phase == PhaseVerify {
		r.ok("")
		r.begin(PhaseCommit)
	}
	err = r.link.insist(ctx, callTimeout, rollback.VerbCommit, []string{r.id}, nil, nil)
	switch {
	case err == nil, lost(err):
		f.asked = err == nil
	case refusalCode(err) == rollback.CodePhase:
		// The host is further than the last answer: the next one tells.
	default:
		r.d.note(r.plan.Host, "commit: %s", plain(r.plan.Host, err))
		select {
		case <-ctx.Done():
		case <-time.After(r.d.Times.Prove):
		}
	}
}

// sudo's hiccups end within moments once the activation is over.
const (
	sudoAttempts = 10
	sudoPause    = 50 * time.Millisecond
)

// prove opens a new TCP connection with a new key exchange and checks over it
// that this is the same boot, that NEW runs, and that the verdict is good. At
// first contact it logs in as the user of every later deploy, and the
// connection is not kept.
func (r *hostRun) prove(ctx context.Context, before *rollback.StatusAnswer) (remote.Host, error) {
	ctx, cancel := context.WithTimeout(ctx, remote.DialTimeout+callTimeout)
	defer cancel()
	target, command := r.link.target, r.link.command
	first := r.plan.Action == ActionFirst
	if first {
		t, err := r.d.Target(r.plan.Host)
		if err != nil {
			return nil, err
		}
		target, command = t, helperCommand(t.User, InstalledHelper)
	}
	c, err := r.d.Dial(ctx, target)
	if err != nil {
		return nil, err
	}
	var st rollback.StatusAnswer
	h := helper{host: r.plan.Host, conn: c, command: command}
	for range sudoAttempts {
		err = h.call(ctx, rollback.VerbStatus, nil, rollback.StatusRequest{Run: r.id}, &st)
		if !errors.Is(err, ErrSudo) {
			break
		}
		time.Sleep(sudoPause)
	}
	if err == nil {
		err = r.sameBoot(before, &st)
	}
	if err != nil || first {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func (r *hostRun) sameBoot(before, now *rollback.StatusAnswer) error {
	boot := before.BootID
	if s := r.plan.seen; s != nil && s.Facts != nil && s.Facts.BootID != "" {
		boot = s.Facts.BootID
	}
	switch {
	case now.BootID != boot:
		return errors.New("the host was rebooted")
	case now.Current != r.plan.New:
		return fmt.Errorf("it runs %s, not the new system", short(now.Current))
	case now.Journal == nil || now.Journal.Run != r.id || now.Journal.Verdict == nil || !now.Journal.Verdict.Good:
		return errors.New("the host's own verdict is not good any more")
	}
	return nil
}
