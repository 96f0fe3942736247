package rollback

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"
)

// reconcileTimeout bounds reconciliation before a verb and by another binary.
const reconcileTimeout = 60 * time.Second

// reconcileFirst runs before every verb by sudo: whatever died, the next look
// at the host goes on from there. A failure is told and does not stop the
// verb, which may be the one that shows it.
func (h *helper) reconcileFirst(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reconcileTimeout)
	defer cancel()
	j, err := h.journals.load()
	if errors.Is(err, errNoRun) {
		return
	}
	if err != nil {
		h.note("%v", err)
		return
	}
	if other := h.othersBinary(j); other != "" {
		if _, err := h.Run(ctx, Command{Path: other, Args: []string{"host", verbReconcile}, Output: h.Stderr}); err != nil {
			h.note("reconcile: %v", err)
		}
		return
	}
	if err := h.reconcile(ctx, j); err != nil {
		h.note("reconcile: %v", err)
	}
}

// othersBinary is the run's binary where that is another one than this, and is
// still there.
func (h *helper) othersBinary(j *Journal) string {
	if j.Phase.Terminal() || !h.executable(j.Helper) || h.resolved(j.Helper) == h.resolved(h.Executable) {
		return ""
	}
	return j.Helper
}

// resolved follows a program's links, so that one under another name is not
// taken for another program and executed for ever.
func (h *helper) resolved(name string) string {
	for range 8 {
		target, err := h.Files.Readlink(name)
		if err != nil {
			break
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		name = target
	}
	return name
}

// reconcileUnit is the verb of nixmesh-host.service at boot, and of the closing
// unit of a run.
func (h *helper) reconcileUnit(ctx context.Context, run string) error {
	j, err := h.journals.load()
	if errors.Is(err, errNoRun) {
		return h.removeOrphans("")
	}
	if err != nil {
		return err
	}
	if run == "" {
		return errors.Join(h.reconcile(ctx, j), h.removeOrphans(j.Run))
	}
	if j.Run != run {
		return h.sweep(ctx, &Journal{Run: run, Phase: PhaseFailed}, sweepWait)
	}
	if j.Phase.Terminal() {
		return h.sweep(ctx, j, sweepWait)
	}
	// After the fallback: timer C may still wait, but nothing of the run
	// works any more.
	services, err := h.activeServices(ctx, run)
	if err != nil || len(services) > 0 || j.Phase != PhaseRollingBack {
		return err
	}
	if err := h.afterFallback(ctx, j); err != nil {
		return err
	}
	if j, err = h.journals.of(run); err != nil || !j.Phase.Terminal() {
		return err
	}
	return h.sweep(ctx, j, sweepWait) // finish could not start us: we run
}

// afterFallback judges what the fallback left: OLD with its sshd is the end,
// a host that nobody can reach reboots into OLD, anything else is a person's.
func (h *helper) afterFallback(ctx context.Context, j *Journal) error {
	if h.current() != j.Old {
		return h.needsOperator(ctx, j)
	}
	if err := h.awaitSSH(ctx, j.SSHPorts); err != nil && j.LastResort != "hold" {
		h.note("%v: rebooting into the old system", err)
		_, err := h.runTool(ctx, []string{j.Old}, "systemctl", "reboot", "--force")
		return err
	}
	return h.rolledBack(ctx, j)
}

func (h *helper) needsOperator(ctx context.Context, j *Journal) error {
	_, err := h.finish(ctx, j.Run, []Phase{PhaseRollingBack}, PhaseNeedsOperator, func(j *Journal) {
		j.Reason = fmt.Sprintf("%s; the revert failed and %s still runs", j.Reason, h.current())
	})
	return err
}

// reconcile brings a run whose processes died to its end. While a unit or a
// timer of the run is active, those do it.
func (h *helper) reconcile(ctx context.Context, j *Journal) error {
	if j.shadowed { // the disk may take it by now
		next, err := h.journals.update(j.Run, j.Phase, nil)
		if err != nil {
			return err
		}
		if j = next; j.Phase.Terminal() && !j.shadowed {
			if err := h.writeOutcome(j); err != nil {
				h.note("outcome of run %s is in the journal only: %v", j.Run, err)
			}
		}
	}
	if j.Phase.Terminal() {
		return errors.Join(h.settleOperators(j), h.sweep(ctx, j, 0))
	}
	if j.BootID != h.bootID {
		return h.afterBoot(ctx, j)
	}
	if j.Phase == PhaseRooted {
		return nil // the deployer is between two verbs, or gone: the next take-over ends it
	}
	services, err := h.activeServices(ctx, j.Run)
	if err != nil {
		return err
	}
	timers, err := h.activeTimers(ctx, j.Run)
	if err != nil || len(services)+len(timers) > 0 {
		return err
	}
	return h.resume(ctx, j)
}

// resume goes on in the same boot.
func (h *helper) resume(ctx context.Context, j *Journal) error {
	switch j.Phase {
	case PhaseArmed:
		_, err := h.finish(ctx, j.Run, []Phase{PhaseArmed}, PhaseFailed, setReason("the switch was armed and never started"))
		return err
	case PhaseActivating, PhaseVerifying:
		return h.restart(ctx, j, kindRevert)
	case PhaseCommitting:
		if err := h.ensureUnits(ctx, j); err != nil {
			return err
		}
		return h.commitOnceMore(ctx, j.Run, "the commit died") // by way of the revert unit
	case PhaseRollingBack:
		return h.resumeRollback(ctx, j)
	case PhaseRebooting:
		if err := h.ensureUnits(ctx, j); err != nil {
			return err
		}
		return h.startUndo(ctx, j.Run, []Phase{PhaseRebooting}, "the reboot did not happen")
	}
	return h.unknownPhase(ctx, j)
}

// resumeRollback ends a rollback whose units all died: undo first, then OLD.
func (h *helper) resumeRollback(ctx context.Context, j *Journal) error {
	if j.Undo && !j.Undone && j.Undos < maxUndos {
		return h.restart(ctx, j, kindUndo)
	}
	if h.current() == j.Old {
		return h.rolledBack(ctx, j)
	}
	if j.Reverts < maxReverts {
		return h.restart(ctx, j, kindRevert)
	}
	return h.needsOperator(ctx, j)
}

// afterBoot decides after a power cut or reboot: /run is empty, what runs is
// what the loader chose.
func (h *helper) afterBoot(ctx context.Context, j *Journal) error {
	running := h.current()
	switch j.Phase {
	case PhaseRooted, PhaseArmed:
		_, err := h.finish(ctx, j.Run, []Phase{j.Phase}, PhaseFailed, setReason("the host rebooted before the switch"))
		return err
	case PhaseActivating, PhaseVerifying:
		// Profile and loader were never touched: OLD booted, or a person
		// chose something else, which is drift and theirs.
		return h.rebootedBack(ctx, j, "the host rebooted in the middle of the switch")
	case PhaseCommitting:
		if running == j.New {
			return h.restart(ctx, j, kindCommit)
		}
		if err := h.ensureUnits(ctx, j); err != nil {
			return err
		}
		return h.startUndo(ctx, j.Run, []Phase{PhaseCommitting}, "the host rebooted in the middle of the commit, into "+h.nameOf(j, running))
	case PhaseRollingBack:
		if j.Undo && !j.Undone {
			return h.restart(ctx, j, kindUndo)
		}
		if running == j.New {
			return h.restart(ctx, j, kindRevert)
		}
		return h.rolledBack(ctx, j)
	case PhaseRebooting:
		if err := h.ensureUnits(ctx, j); err != nil {
			return err
		}
		return h.startUndo(ctx, j.Run, []Phase{PhaseRebooting}, "the reboot path is not in this version")
	}
	return h.unknownPhase(ctx, j)
}

// rebootedBack ends a run by the boot of the old system.
func (h *helper) rebootedBack(ctx context.Context, j *Journal, why string) error {
	running := h.current()
	_, err := h.finish(ctx, j.Run, []Phase{j.Phase}, PhaseRolledBack, func(j *Journal) {
		if j.Reason == "" {
			j.Reason = why
		}
		if running != j.Old {
			j.Reason += "; now " + running + " runs"
		}
	})
	return err
}

func (h *helper) nameOf(j *Journal, toplevel string) string {
	switch toplevel {
	case j.Old:
		return "the old system"
	case j.New:
		return "the new system"
	}
	return toplevel
}

// bootMoved says that the profile or the loader is NEW's.
func (h *helper) bootMoved(j *Journal) bool {
	profile, _ := h.profile()
	_, loader := h.loaderDefault()
	return j.New != j.bootOld() && (profile == j.New || loader == j.New)
}

func unknownCause(j *Journal) string {
	if j.Phase == phaseUnreadable {
		return "the journal could not be read and is set aside as " + setAside
	}
	return fmt.Sprintf("phase %q is of a newer nixmesh, whose program is gone", j.Phase)
}

// unknownPhase is a phase that a newer version wrote, whose binary is gone, or
// the journal was lost: the switch may have begun, and the boot default may
// have moved.
func (h *helper) unknownPhase(ctx context.Context, j *Journal) error {
	if err := h.ensureUnits(ctx, j); err != nil {
		return err
	}
	cause := unknownCause(j)
	if h.bootMoved(j) {
		return h.startUndo(ctx, j.Run, []Phase{j.Phase}, cause)
	}
	if j.BootID != h.bootID && h.current() == j.Old {
		return h.rebootedBack(ctx, j, cause)
	}
	if _, err := h.journals.change(j.Run, []Phase{j.Phase}, PhaseRollingBack, setReason(cause)); err != nil {
		return err
	}
	return h.start(ctx, j.Run, kindRevert)
}

// restart starts one of the run's units again, with timer C behind it. After a
// reboot the units are written anew, and the journal is of this boot from then
// on.
func (h *helper) restart(ctx context.Context, j *Journal, kind string) error {
	if err := h.ensureUnits(ctx, j); err != nil {
		return err
	}
	deadline, err := h.arm(ctx, j.Run, timerC, timerCSpan)
	if err != nil {
		h.note("set timer C: %v", err)
	}
	if _, err := h.journals.update(j.Run, j.Phase, func(j *Journal) {
		if j.BootID != h.bootID { // a power cut is no failure of the undo
			j.Undos, j.Reverts = 0, 0
		}
		j.Deadline, j.BootID = deadline, h.bootID
		if kind == kindUndo {
			j.Undos++
		}
	}); err != nil {
		return err
	}
	return h.start(ctx, j.Run, kind)
}

// ensureUnits writes the run's units where /run does not have them.
func (h *helper) ensureUnits(ctx context.Context, j *Journal) error {
	if exists(h.Files, unitDir+"/"+unitName(kindRevert, j.Run)) {
		return nil
	}
	run := *j
	if run.Helper == "" || !exists(h.Files, run.Helper) {
		run.Helper = h.Executable
	}
	if run.ActivateTimeout == 0 {
		run.ActivateTimeout = defaultActivateTimeout
	}
	if run.Confirm == 0 {
		run.Confirm = defaultConfirm
	}
	return h.writeUnits(ctx, &run)
}
