package rollback

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"
)

// maxUndos bounds how often the undo of one run is tried; then the revert goes
// on and the run ends in needs-operator.
const maxUndos = 2

// maxReverts bounds how often reconciliation starts the revert.
const maxReverts = 3

// revert asks for the old system: the deployer's verb. The unit does it.
func (h *helper) revert(ctx context.Context, c *call) error {
	var req RevertRequest
	if err := h.request(&req); err != nil {
		return err
	}
	if err := h.holdsLease(c.run); err != nil {
		return err
	}
	j, err := h.journals.of(c.run)
	if err != nil {
		return err
	}
	reason := plain(req.Reason, maxReason)
	if reason == "" {
		reason = "the deployer asked for the old system"
	}
	switch j.Phase {
	case PhaseRolledBack, PhaseFailed, PhaseRollingBack:
		return h.answerStatus(ctx, StatusRequest{}) // asked twice, or already on the way
	case PhaseRooted:
		if _, err := h.finish(ctx, j.Run, []Phase{PhaseRooted}, PhaseFailed, setReason(reason)); err != nil {
			return err
		}
		return h.answerStatus(ctx, StatusRequest{})
	case PhaseArmed, PhaseActivating, PhaseVerifying:
	default:
		return refuse(CodePhase, "read the host's status", "run %s is %s: too late to revert", j.Run, j.Phase)
	}
	if _, err := h.journals.update(j.Run, j.Phase, func(j *Journal) {
		if j.Reason == "" {
			j.Reason = reason
		}
	}); err != nil {
		return err
	}
	if err := h.start(ctx, j.Run, kindRevert); err != nil {
		return err // the timer does
	}
	return h.answerStatus(ctx, StatusRequest{})
}

// revertRun is the revert unit, started by a bad verdict, by the end of the
// switch, by the deployer, by the undo, and by every dead-man timer.
func (h *helper) revertRun(ctx context.Context, run string) error {
	j, err := h.journals.of(run)
	if err != nil {
		return err
	}
	goOn, err := h.enterRollingBack(ctx, j)
	if err != nil || !goOn {
		return err
	}
	deadline, err := h.arm(ctx, run, timerC, revertSpan)
	if err != nil {
		h.note("set timer C: %v", err)
	}
	if j, err = h.journals.update(run, PhaseRollingBack, func(j *Journal) { j.Reverts++; j.Deadline = deadline }); err != nil {
		return err
	}
	if err := h.stopSwitch(ctx, j); err != nil {
		h.note("%v", err) // OLD's STC decides
	}
	return h.bringOld(ctx, j)
}

// enterRollingBack is the revert's compare-and-set. It says whether this
// process has the old system to bring.
func (h *helper) enterRollingBack(ctx context.Context, j *Journal) (bool, error) {
	switch j.Phase {
	case PhaseArmed:
		_, err := h.finish(ctx, j.Run, []Phase{PhaseArmed}, PhaseFailed, func(j *Journal) {
			if j.Reason == "" {
				j.Reason = "the switch was armed and never started"
			}
		})
		if errors.Is(err, errConflict) {
			return h.revertAgain(ctx, j)
		}
		return false, err
	case PhaseActivating, PhaseVerifying:
		next, err := h.journals.change(j.Run, []Phase{PhaseActivating, PhaseVerifying}, PhaseRollingBack, func(j *Journal) {
			if j.Reason == "" {
				j.Reason = j.silence()
			}
		})
		if errors.Is(err, errConflict) {
			return h.revertAgain(ctx, j)
		}
		if err == nil {
			h.note("%s: reverting to %s", next.Reason, next.Old)
		}
		return err == nil, err
	case PhaseCommitting:
		return false, h.commitDied(ctx, j)
	case PhaseRollingBack:
		return h.undoFirst(ctx, j)
	case PhaseRebooting:
		return false, h.startUndo(ctx, j.Run, []Phase{PhaseRebooting}, "the reboot did not happen")
	case PhaseNone, PhaseRooted, PhaseFailed, PhaseCommitted, PhaseRolledBack, PhaseNeedsOperator:
		return false, nil // a commit won, or it is over
	}
	if h.bootMoved(j) {
		return false, h.startUndo(ctx, j.Run, []Phase{j.Phase}, unknownCause(j))
	}
	_, err := h.journals.change(j.Run, []Phase{j.Phase}, PhaseRollingBack, setReason(unknownCause(j)))
	return err == nil, err
}

// revertAgain looks once more after a lost compare-and-set: the phase moved on
// between our look and the lock (armed to activating, verifying to committing).
func (h *helper) revertAgain(ctx context.Context, was *Journal) (bool, error) {
	j, err := h.journals.of(was.Run)
	if err != nil || j.Phase == was.Phase {
		return false, err
	}
	return h.enterRollingBack(ctx, j)
}

// silence is the reason of a revert that only a timer asked for.
func (j *Journal) silence() string {
	switch {
	case j.Phase == PhaseActivating && j.Switch == nil:
		return "the switch did not end in time"
	case j.Verdict != nil && j.Verdict.Good && j.Test:
		return "the test is over"
	case j.Verdict != nil && j.Verdict.Good:
		return fmt.Sprintf("verified, and nobody committed within %s", j.Confirm.D()+deployerGrace)
	}
	return "the verification did not end in time"
}

// commitDied starts the commit unit once more: after its ExecStopPost has
// counted a failure and started us, or, for timer C, after counting it here.
// Timer B may have fired in the moment before it was stopped: then nothing has
// failed, timer C still waits, and the commit is left alone.
func (h *helper) commitDied(ctx context.Context, j *Journal) error {
	running, err := h.activating(ctx, unitName(kindCommit, j.Run))
	if err != nil || running {
		return err
	}
	if j.Failures == 1 && !j.Again {
		if err := h.waitStopped(ctx, unitName(kindCommit, j.Run)); err != nil {
			return err
		}
		if _, err := h.journals.update(j.Run, PhaseCommitting, func(j *Journal) { j.Again = true }); err != nil {
			return err
		}
		return h.start(ctx, j.Run, kindCommit)
	}
	waiting, err := h.activeTimers(ctx, j.Run)
	if err != nil || slices.Contains(waiting, timerName(timerC, j.Run)) {
		return err
	}
	if err := h.commitOnceMore(ctx, j.Run, "the commit died"); err != nil {
		return err
	}
	if j, err = h.journals.of(j.Run); err != nil || j.Phase != PhaseCommitting {
		return err
	}
	return h.commitDied(ctx, j) // we are the revert unit: nobody else starts it
}

// waitStopped waits until a unit has ended its ExecStopPost: while it has not,
// a start is swallowed by the job that is ending.
func (h *helper) waitStopped(ctx context.Context, unit string) error {
	return h.withSystemd(ctx, func(s Systemd) error { return s.Stop(ctx, unit) })
}

// undoFirst sends a revert that finds an undo unfinished, and not running,
// back to it.
func (h *helper) undoFirst(ctx context.Context, j *Journal) (bool, error) {
	if !j.Undo || j.Undone || j.Undos >= maxUndos {
		return true, nil
	}
	running, err := h.activating(ctx, unitName(kindUndo, j.Run))
	if err != nil || running {
		return false, err // its end starts us again
	}
	if err := h.waitStopped(ctx, unitName(kindUndo, j.Run)); err != nil {
		return false, err
	}
	return false, h.restart(ctx, j, kindUndo)
}

// activating says that a oneshot's program runs. One in its ExecStopPost, from
// which we may have been started, is over.
func (h *helper) activating(ctx context.Context, unit string) (bool, error) {
	running := false
	err := h.withSystemd(ctx, func(s Systemd) error {
		u, err := s.Show(ctx, []string{unit})
		if err == nil {
			running = u[0].Active == "activating" || (u[0].Job && u[0].Active != "deactivating")
		}
		return err
	})
	return running, err
}

// stopSwitch kills a hung STC with its control group, and waits for its lock.
func (h *helper) stopSwitch(ctx context.Context, j *Journal) error {
	err := h.withSystemd(ctx, func(s Systemd) error {
		return errors.Join(s.Stop(ctx, unitName(kindActivate, j.Run)), s.Stop(ctx, unitName(kindVerify, j.Run)))
	})
	if err != nil {
		return fmt.Errorf("stop the switch: %w", err)
	}
	if !exists(h.Files, switchLock) {
		return nil
	}
	until := h.Clock.Boot() + lockWaitTime
	for {
		unlock, err := h.Files.Lock(switchLock, false)
		if err == nil {
			unlock()
			return nil
		}
		if h.Clock.Boot() >= until {
			return fmt.Errorf("%s is still held after %s: %w", switchLock, lockWaitTime, err)
		}
		if err := h.Clock.Sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// bringOld activates OLD and judges it. An error lets the fallback unit try
// with nothing of ours.
func (h *helper) bringOld(ctx context.Context, j *Journal) error {
	h.freeReserve()
	now := h.current()
	if j.SwitchBoot != h.bootID && now != j.New {
		return h.rolledBack(ctx, j) // OLD booted, or what a person chose: that stays
	}
	if now != j.Old || j.SwitchBoot == h.bootID { // units may be half stopped under a current OLD
		code, err := h.stc(ctx, j, j.Old, "test")
		if err != nil {
			return fmt.Errorf("revert: %w", err)
		}
		if code != 0 && code != 4 {
			return fmt.Errorf("revert: %s test ended with status %d", j.Old+stcPath, code)
		}
		if err := h.restoreTargets(ctx, j); err != nil {
			h.note("%v", err) // sshd's banner decides
		}
	}
	if now = h.current(); now != j.Old {
		return fmt.Errorf("revert: the host runs %s, not %s", now, j.Old)
	}
	if err := h.awaitSSH(ctx, j.SSHPorts); err != nil {
		return fmt.Errorf("revert: %w", err)
	}
	return h.rolledBack(ctx, j)
}

// restoreTargets starts the targets that were active before and are not now:
// where NEW isolated another target, OLD's STC sees no unit that changed and
// leaves what was stopped.
func (h *helper) restoreTargets(ctx context.Context, j *Journal) error {
	return h.withSystemd(ctx, func(s Systemd) error {
		units, err := s.List(ctx)
		if err != nil {
			return fmt.Errorf("restore targets: %w", err)
		}
		active := map[string]bool{}
		for _, u := range units {
			active[u.Name] = u.Active == "active"
		}
		for name, b := range j.Baseline {
			if path.Ext(name) == ".target" && b.Active == "active" && !active[name] {
				if err := s.Start(ctx, name); err != nil {
					h.note("restore targets: %v", err)
				}
			}
		}
		return nil
	})
}

// rolledBack ends the run: rolled-back, or needs-operator where the undo did
// not bring profile and loader back.
func (h *helper) rolledBack(ctx context.Context, j *Journal) error {
	var left []string
	if j.SwitchBoot == h.bootID { // the baseline is of that boot
		var err error
		if left, err = h.leftFailed(ctx, j); err != nil {
			h.note("list failed units: %v", err)
		}
	}
	to, note := PhaseRolledBack, ""
	if now := h.current(); now != j.Old {
		note = "; now " + now + " runs"
	}
	if j.Undo && !j.Undone {
		if err := h.undoneAlready(j); err != nil {
			to, note = PhaseNeedsOperator, note+"; profile or boot loader are not back: "+err.Error()
		}
	}
	_, err := h.finish(ctx, j.Run, []Phase{PhaseRollingBack}, to, func(j *Journal) {
		j.LeftFailed = left
		j.Reason += note
	})
	return err
}

// undoneAlready says whether profile and loader are OLD's, whoever did it.
func (h *helper) undoneAlready(j *Journal) error {
	if now, _ := h.profile(); now != j.bootOld() {
		return fmt.Errorf("the profile is %s", now)
	}
	return h.loaderIs(j, j.bootOld())
}

// leftFailed lists what is failed under OLD and was not before the switch. A
// failed unit that only NEW had is forgotten: OLD has no file for it.
func (h *helper) leftFailed(ctx context.Context, j *Journal) ([]string, error) {
	var left []string
	err := h.withSystemd(ctx, func(s Systemd) error {
		units, err := s.List(ctx)
		if err != nil {
			return err
		}
		for _, u := range units {
			if !u.failed() || ofRun(u.Name, j.Run) || j.Baseline[u.Name].Active == "failed" {
				continue
			}
			if u.Load == "not-found" {
				if err := s.ResetFailed(ctx, u.Name); err != nil {
					return err
				}
				continue
			}
			left = append(left, u.Name)
		}
		return nil
	})
	return left, err
}
