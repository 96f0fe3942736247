package rollback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"time"
)

// stcRetry is how long STC's lock, held by somebody else, is waited for in
// commit and undo; it leaves time for the rest of the unit.
const (
	stcRetry      = 60 * time.Second
	stcRetryEvery = time.Second
	stcLocked     = 11 // newer STCs say so; older ones wait for the lock
)

// errMoved says that somebody else changed the system profile in the middle of
// the run.
var errMoved = errors.New("the system profile was moved by somebody else")

// commit makes NEW the boot default, in a unit of its own. It needs the host's
// good verdict; the deployer asks for it over a fresh connection.
func (h *helper) commit(ctx context.Context, c *call) error {
	if err := h.holdsLease(c.run); err != nil {
		return err
	}
	j, err := h.journals.of(c.run)
	if err != nil {
		return err
	}
	switch {
	case j.Phase == PhaseCommitting || j.Phase == PhaseCommitted:
		return h.answerStatus(ctx, StatusRequest{}) // asked twice: the connection broke
	case j.Phase != PhaseVerifying:
		return refuse(CodePhase, "read the host's status", "run %s is %s: there is nothing to commit", j.Run, j.Phase)
	case j.Verdict == nil || !j.Verdict.Good:
		return refuse(CodePhase, "wait for the verdict", "run %s has no good verdict yet", j.Run)
	case j.Test:
		return refuse(CodePhase, "", "run %s is a test and never committed", j.Run)
	}
	deadline, err := h.arm(ctx, j.Run, timerC, timerCSpan)
	if err != nil {
		return err
	}
	// Exactly one of this and the revert wins.
	if j, err = h.journals.change(j.Run, []Phase{PhaseVerifying}, PhaseCommitting, func(j *Journal) { j.Deadline = deadline }); err != nil {
		return h.revertNow(ctx, c.run, PhaseVerifying, err)
	}
	if err := h.disarm(ctx, j.Run, timerB); err != nil {
		h.note("stop timer B: %v", err) // it finds timer C waiting and leaves
	}
	if err := h.start(ctx, j.Run, kindCommit); err != nil {
		return err // timer C starts it once more
	}
	return h.answerStatus(ctx, StatusRequest{})
}

// commitRun is the commit unit. Every sub-step can be done again: the unit may
// have died in any of them.
func (h *helper) commitRun(ctx context.Context, run string) error {
	j, err := h.journals.of(run)
	if err != nil {
		return err
	}
	if j.Phase != PhaseCommitting {
		return nil
	}
	if err := h.commitSteps(ctx, j); err != nil {
		if errors.Is(err, errMoved) {
			return h.leaveToOther(ctx, j, err)
		}
		return err // commit-failed counts it
	}
	h.note("committed: %s boots next", j.New)
	_, err = h.finish(ctx, run, []Phase{PhaseCommitting}, PhaseCommitted, func(j *Journal) { j.Reason = "" })
	return err
}

func (h *helper) commitSteps(ctx context.Context, j *Journal) error {
	steps := []struct {
		name string
		do   func(context.Context, *Journal) error
		mark func(*CommitSteps)
	}{
		{"look at what runs", h.newRuns, func(*CommitSteps) {}},
		{"set the system profile", h.setProfile, func(s *CommitSteps) { s.Profile = true }},
		{"write the boot loader's entries", func(ctx context.Context, j *Journal) error {
			return h.installBoot(ctx, j, j.New)
		}, func(s *CommitSteps) { s.Boot = true }},
		{"verify the boot loader's default", h.verifyLoader, func(s *CommitSteps) { s.Loader = true }},
		{"sync the boot partition", func(context.Context, *Journal) error { return h.syncBoot() }, func(s *CommitSteps) { s.Synced = true }},
		{"root the release", h.rootRelease, func(s *CommitSteps) { s.Root = true }},
	}
	for _, s := range steps {
		if err := s.do(ctx, j); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if _, err := h.journals.update(j.Run, PhaseCommitting, func(j *Journal) { s.mark(&j.Commit) }); err != nil {
			return err
		}
	}
	return nil
}

// newRuns demands that the system which becomes the boot default is the one
// that was verified.
func (h *helper) newRuns(_ context.Context, j *Journal) error {
	if now := h.current(); now != j.New {
		return fmt.Errorf("the host runs %s, not %s", now, j.New)
	}
	return nil
}

// setProfile makes NEW the system profile. The profile is OLD's or NEW's
// already: anything else is another person's work, and stays.
func (h *helper) setProfile(ctx context.Context, j *Journal) error {
	if now, _ := h.profile(); now != j.OldProfile && now != j.New {
		return fmt.Errorf("%w: it is %s", errMoved, now)
	}
	if !exists(h.Files, j.New+"/nixos-version") {
		return fmt.Errorf("%s has no nixos-version: it is no NixOS system", j.New)
	}
	if _, err := h.runTool(ctx, []string{j.New, j.Old}, "nix-env", "--profile", systemLink, "--set", j.New); err != nil {
		return err
	}
	if now, _ := h.profile(); now != j.New {
		return fmt.Errorf("the profile is %s after nix-env --set %s", now, j.New)
	}
	return h.Files.Sync(profilesDir)
}

// installBoot lets a toplevel write the loader's entries with itself as the
// default. A held lock is waited for.
func (h *helper) installBoot(ctx context.Context, j *Journal, toplevel string) error {
	until := h.Clock.Boot() + stcRetry
	for {
		code, err := h.stc(ctx, j, toplevel, "boot")
		if err != nil {
			return err
		}
		if code == 0 {
			return nil
		}
		if code != stcLocked || h.Clock.Boot() >= until {
			return fmt.Errorf("%s boot ended with status %d", toplevel+stcPath, code)
		}
		if err := h.Clock.Sleep(ctx, stcRetryEvery); err != nil {
			return err
		}
	}
}

// stc runs a toplevel's switch-to-configuration without its pre-switch
// checks: they may not forbid the way back, and have passed on the way there.
// Its output goes to ours, which is the run's log.
func (h *helper) stc(ctx context.Context, j *Journal, toplevel, action string) (int, error) {
	env := append(h.environment(toplevel, j.Old, j.New), "NIXOS_NO_CHECK=1", "NIXOS_INSTALL_BOOTLOADER=0")
	res, err := h.Run(ctx, Command{Path: toplevel + stcPath, Args: []string{action}, Env: env, Output: unfailing{h.Stderr}})
	if err != nil {
		return 0, err
	}
	return res.Code, nil
}

// unfailing takes what its writer does not: an STC whose output goes to a full
// disk panics, in the revert, too.
type unfailing struct{ w io.Writer }

func (u unfailing) Write(b []byte) (int, error) {
	_, _ = u.w.Write(b) // the log is the least of what is lost
	return len(b), nil
}

func (h *helper) verifyLoader(_ context.Context, j *Journal) error { return h.loaderIs(j, j.New) }

// loaderIs demands that the loader's default really boots a toplevel.
func (h *helper) loaderIs(j *Journal, toplevel string) error {
	kind, def := h.loaderDefault()
	if def == toplevel || (def == "" && slices.Contains(j.Accept, acceptUnreadLoader)) {
		return nil
	}
	if def == "" {
		return fmt.Errorf("what %q boots next cannot be read", kind)
	}
	return fmt.Errorf("%s boots %s next, not %s", kind, def, toplevel)
}

// syncBoot writes out the file systems that the loader reads.
func (h *helper) syncBoot() error {
	for _, d := range bootFolders {
		if !exists(h.Files, d) {
			continue
		}
		if err := h.Files.SyncAll(d); err != nil {
			return fmt.Errorf("sync %s: %w", d, err)
		}
	}
	return nil
}

// rootRelease keeps NEW for a later rollback.
func (h *helper) rootRelease(_ context.Context, j *Journal) error {
	if j.Release <= 0 {
		return nil
	}
	return h.makeRoot(releaseRoot(j.Release), j.New)
}

// makeRoot makes a link that keeps a toplevel which another root keeps now.
func (h *helper) makeRoot(name, target string) error {
	if h.link(name) == target {
		return nil
	}
	if err := h.Files.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	tmp := name + ".new"
	if err := h.Files.Remove(tmp); err != nil {
		return err
	}
	if err := h.Files.Symlink(target, tmp); err != nil {
		return err
	}
	if err := h.Files.Rename(tmp, name); err != nil {
		return err
	}
	return h.Files.Sync(path.Dir(name))
}

// leaveToOther gives way to whoever moved the profile: OLD runs again, their
// profile and loader stay.
func (h *helper) leaveToOther(ctx context.Context, j *Journal, cause error) error {
	if _, err := h.journals.change(j.Run, []Phase{PhaseCommitting}, PhaseRollingBack, setReason(cause.Error())); err != nil {
		return err
	}
	return h.start(ctx, j.Run, kindRevert)
}

// commitFailed is ExecStopPost of the commit unit: nothing to do when it ended
// well; else the unit is started once more, and a second failure is undone.
func (h *helper) commitFailed(ctx context.Context, run string) error {
	if h.variable("SERVICE_RESULT") == "success" {
		return nil
	}
	cause := fmt.Sprintf("the commit ended with %s %s", h.variable("EXIT_CODE"), h.variable("EXIT_STATUS"))
	return h.commitOnceMore(ctx, run, cause)
}

// commitOnceMore counts a failure of the commit.
func (h *helper) commitOnceMore(ctx context.Context, run, cause string) error {
	j, err := h.journals.of(run)
	if err != nil {
		return err
	}
	if j.Phase != PhaseCommitting {
		return nil
	}
	deadline, err := h.arm(ctx, run, timerC, timerCSpan)
	if err != nil {
		h.note("set timer C: %v", err) // the unit below is still the way on
	}
	if j.Failures == 0 {
		if _, err := h.journals.update(run, PhaseCommitting, func(j *Journal) { j.Failures, j.Deadline = 1, deadline }); err != nil {
			return err
		}
		h.note("%s: once more", cause)
		// Not from here when this is the unit's own ExecStopPost: its old start
		// job is not over, and would swallow the new one. The revert unit
		// waits for it, and starts it again.
		return h.start(ctx, run, kindRevert)
	}
	return h.startUndo(ctx, run, []Phase{PhaseCommitting}, cause+" twice: "+lastLineOf(h.tail(logFile(run), 1)))
}

func lastLineOf(lines []string) string {
	if len(lines) == 0 {
		return "the log is empty"
	}
	return lines[len(lines)-1]
}

// startUndo enters rolling-back with the undo of profile and loader before it.
func (h *helper) startUndo(ctx context.Context, run string, from []Phase, cause string) error {
	deadline, err := h.arm(ctx, run, timerC, timerCSpan)
	if err != nil {
		h.note("set timer C: %v", err)
	}
	if _, err := h.journals.change(run, from, PhaseRollingBack, func(j *Journal) {
		j.Undo, j.Undos, j.Deadline = true, j.Undos+1, deadline
		if j.Reason == "" {
			j.Reason = cause
		}
	}); err != nil {
		return err
	}
	h.note("%s: undoing", cause)
	return h.start(ctx, run, kindUndo)
}

// undo is the undo unit: profile and loader to what they were. However it
// ends, its ExecStopPost starts the revert.
func (h *helper) undo(ctx context.Context, run string) error {
	j, err := h.journals.of(run)
	if err != nil {
		return err
	}
	if j.Phase != PhaseRollingBack || !j.Undo || j.Undone {
		return nil
	}
	if err := h.undoSteps(ctx, j); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	_, err = h.journals.update(run, PhaseRollingBack, func(j *Journal) { j.Undone = true })
	return err
}

// undoSteps brings profile and loader back. Each can be done again.
func (h *helper) undoSteps(ctx context.Context, j *Journal) error {
	h.freeReserve()
	old := j.bootOld()
	if now, _ := h.profile(); now != old {
		args := []string{"--profile", systemLink, "--set", old}
		link := fmt.Sprintf("%s/system-%d-link", profilesDir, j.Generation)
		if j.Generation > 0 && h.link(link) == old {
			args = []string{"--profile", systemLink, "--switch-generation", fmt.Sprint(j.Generation)}
		}
		if _, err := h.runTool(ctx, []string{j.New, j.Old}, "nix-env", args...); err != nil {
			return err
		}
		if now, _ := h.profile(); now != old {
			return fmt.Errorf("the profile is %s after nix-env, not %s", now, old)
		}
	}
	if err := h.Files.Sync(profilesDir); err != nil {
		return fmt.Errorf("sync profiles: %w", err)
	}
	// Judged by what boots, not by the exit status: a full /boot fails both
	// ways, and then the default never moved.
	bootErr := h.installBoot(ctx, j, old)
	if err := h.loaderIs(j, old); err != nil {
		return errors.Join(err, bootErr)
	}
	return h.syncBoot()
}
