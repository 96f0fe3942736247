package rollback

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"time"
)

// stcPath is switch-to-configuration below a toplevel.
const stcPath = "/bin/switch-to-configuration"

// activate checks the guards, arms the dead-man timer and starts the switch.
// It returns at once: how the switch ends is told by its unit, not to us.
func (h *helper) activate(ctx context.Context, c *call) error {
	if err := h.holdsLease(c.run); err != nil {
		return err
	}
	j, err := h.journals.of(c.run)
	if err != nil {
		return err
	}
	if j.Phase != PhaseRooted {
		return refuse(CodePhase, "read the host's status", "run %s is %s, not %s", j.Run, j.Phase, PhaseRooted)
	}
	if err := h.guard(ctx, j); err != nil {
		if _, failed := h.finish(ctx, j.Run, []Phase{PhaseRooted}, PhaseFailed, setReason(err.Error())); failed != nil {
			return failed
		}
		return err
	}
	j, err = h.armRun(ctx, j)
	if errors.Is(err, errConflict) {
		return err // another call armed it
	}
	if err != nil {
		// Nothing ran yet. A timer that did start finds the run failed.
		_, failed := h.finish(context.WithoutCancel(ctx), c.run, []Phase{PhaseRooted, PhaseArmed}, PhaseFailed, setReason("arm: "+err.Error()))
		return errors.Join(err, failed)
	}
	if j, err = h.journals.change(j.Run, []Phase{PhaseArmed}, PhaseActivating, func(j *Journal) {
		j.SwitchBoot = h.bootID
	}); errors.Is(err, errConflict) {
		return err
	} else if err != nil { // a full disk: better now than when timer A looks
		_, failed := h.finish(context.WithoutCancel(ctx), c.run, []Phase{PhaseArmed}, PhaseFailed, setReason(err.Error()))
		return errors.Join(err, failed)
	}
	if err := h.start(ctx, j.Run, kindActivate); err != nil {
		return err // timer A reverts
	}
	return h.answerStatus(ctx, StatusRequest{})
}

func setReason(reason string) func(*Journal) { return func(j *Journal) { j.Reason = reason } }

// armRun takes the baseline, writes the run's units, starts timer A and, when
// systemd shows it waiting, enters armed.
func (h *helper) armRun(ctx context.Context, j *Journal) (*Journal, error) {
	baseline, err := h.baseline(ctx, j.Run)
	if err != nil {
		return j, err
	}
	j.Baseline = baseline
	if err := h.writeUnits(ctx, j); err != nil {
		return j, err
	}
	if err := h.takeReserve(); err != nil {
		return j, err
	}
	deadline, err := h.arm(ctx, j.Run, timerA, j.ActivateTimeout.D()+j.Confirm.D()+deployerGrace)
	if err != nil {
		return j, err
	}
	ports := h.sshAnswers(ctx)
	return h.journals.change(j.Run, []Phase{PhaseRooted}, PhaseArmed, func(j *Journal) {
		j.Baseline, j.Deadline, j.SSHPorts = baseline, deadline, ports
	})
}

// baseline is every loaded unit as it is now.
func (h *helper) baseline(ctx context.Context, run string) (map[string]UnitBaseline, error) {
	base := map[string]UnitBaseline{}
	err := h.withSystemd(ctx, func(s Systemd) error {
		units, err := s.List(ctx)
		if err != nil {
			return err
		}
		var names []string
		for _, u := range units {
			if !ofRun(u.Name, run) {
				names = append(names, u.Name)
			}
		}
		details, err := s.Show(ctx, names)
		if err != nil {
			return err
		}
		for _, d := range details {
			base[d.Name] = UnitBaseline{Active: d.Active, Invocation: d.Invocation, Restarts: d.Restarts}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("take baseline of units: %w", err)
	}
	return base, nil
}

// failedAnew lists the units that are failed and whose failure is news about
// NEW.
func (h *helper) failedAnew(ctx context.Context, j *Journal) ([]string, error) {
	var bad []string
	err := h.withSystemd(ctx, func(s Systemd) error {
		units, err := s.List(ctx)
		if err != nil {
			return err
		}
		var names []string
		for _, u := range units {
			if u.failed() && !ofRun(u.Name, j.Run) {
				names = append(names, u.Name)
			}
		}
		details, err := s.Show(ctx, names)
		if err != nil {
			return err
		}
		for _, d := range details {
			if !h.brokenBefore(j, d) {
				bad = append(bad, d.Name)
			}
		}
		return nil
	})
	return bad, err
}

// switched is ExecStopPost of the activation: systemd runs it after a good
// end, a bad one, a timeout and a kill -9 alike, and tells how it was.
func (h *helper) switched(ctx context.Context, run string) error {
	res := SwitchResult{Result: h.variable("SERVICE_RESULT"), Code: h.variable("EXIT_CODE"), Status: h.variable("EXIT_STATUS")}
	j, err := h.journals.update(run, PhaseActivating, func(j *Journal) { j.Switch = &res })
	if err != nil {
		return err
	}
	reason, bad := h.judgeSwitch(ctx, j, res)
	switch {
	case reason == "":
		return h.startVerification(ctx, j)
	case res.refusedToStart() && h.current() == j.Old:
		_, err := h.finish(ctx, run, []Phase{PhaseActivating}, PhaseFailed, setReason(reason))
		return err
	}
	verdict := h.switchVerdict(ctx, j, reason, bad)
	if _, err := h.journals.update(run, PhaseActivating, func(j *Journal) { j.Reason, j.Verdict = reason, verdict }); err != nil {
		return err
	}
	h.note("%s: reverting", reason)
	return h.start(ctx, run, kindRevert)
}

// activationFailed is what STC prints when the activation script fails. It then
// goes on, and a unit that is failed at its end, be it an old one, turns status
// 2 into 4: the number alone would let a failed activation pass.
var activationFailed = regexp.MustCompile(`(?m)^(Failed to run activate script|Activation script snippet '.*' failed)`)

// refusedToStart says that STC did nothing: its lock was held (11), or NEW
// needs a reboot (100). The numbers leak from other errors too, so the caller
// looks at what runs.
func (r SwitchResult) refusedToStart() bool {
	return r.Code == "exited" && (r.Status == "11" || r.Status == "100")
}

// switchVerdict tells of the first unit that failed in the switch, with the last
// lines of all; nil where no unit did. The revert restarts units, so later is too late.
func (h *helper) switchVerdict(ctx context.Context, j *Journal, reason string, bad []string) *Verdict {
	if len(bad) == 0 {
		return nil
	}
	v := &Verdict{Reason: reason, Unit: bad[0], Log: h.failureLog(ctx, bad[0], bad[1:])}
	facts, err := h.facts(j.New)
	if err != nil {
		return v // whose unit it is matters less than that it failed
	}
	for _, u := range facts.Units {
		if u.Name == bad[0] {
			v.Service = u.Service
		}
	}
	return v
}

// judgeSwitch returns why the switch was bad, "" where verification may begin,
// and the units that failed in it.
func (h *helper) judgeSwitch(ctx context.Context, j *Journal, r SwitchResult) (reason string, bad []string) {
	if r.Code != "exited" {
		if r.Result == "timeout" {
			return fmt.Sprintf("the switch did not end within %s", j.ActivateTimeout.D()), nil
		}
		return fmt.Sprintf("the switch was ended by signal %s (%s)", r.Status, r.Result), nil
	}
	switch r.Status {
	case "0":
		return "", nil
	case "4":
		if activationFailed.MatchString(h.raw(j.log())) {
			return "the activation script failed", nil
		}
		bad, err := h.failedAnew(ctx, j)
		if err != nil {
			return fmt.Sprintf("the switch says that units failed, and systemd does not say which: %v", err), nil
		}
		if len(bad) == 0 {
			return "", nil
		}
		return "units failed in the switch: " + joinMax(bad, 5), bad
	case "2":
		return "the activation script failed", nil
	case "11":
		return "another switch holds " + switchLock + h.switchHolderNote(), nil
	case "100":
		return "the new system takes effect only after a reboot (init interface differs)", nil
	}
	return "switch-to-configuration test ended with status " + r.Status, nil
}

// startVerification arms timer B, enters verifying, starts the verify unit and
// stops timer A: one timer is scheduled at every moment, and what a dying
// process leaves undone is the least important.
func (h *helper) startVerification(ctx context.Context, j *Journal) error {
	deadline, err := h.arm(ctx, j.Run, timerB, j.Confirm.D()+deployerGrace)
	if err != nil {
		return err
	}
	if _, err := h.journals.change(j.Run, []Phase{PhaseActivating}, PhaseVerifying, func(j *Journal) { j.Deadline = deadline }); err != nil {
		return h.revertNow(ctx, j.Run, PhaseActivating, err)
	}
	if err := h.start(ctx, j.Run, kindVerify); err != nil {
		return err // timer B reverts
	}
	return h.disarm(ctx, j.Run, timerA) // still there, it would find a later phase or revert late
}

// revertNow starts the revert when the way out of phase and forward cannot be
// written down: on a full disk there is nothing to wait for. cause stays the
// error.
func (h *helper) revertNow(ctx context.Context, run string, phase Phase, cause error) error {
	if errors.Is(cause, errConflict) {
		return cause
	}
	if _, err := h.journals.update(run, phase, setReason(cause.Error())); err != nil {
		h.note("%v", err)
	}
	return errors.Join(cause, h.start(ctx, run, kindRevert))
}

// joinMax lists at most n names.
func joinMax(names []string, n int) string {
	out := ""
	for i, name := range names {
		if i == n {
			return fmt.Sprintf("%s and %d more", out, len(names)-n)
		}
		if i > 0 {
			out += ", "
		}
		out += name
	}
	return out
}

// seconds is a boot-clock value as a duration.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// storePath cuts a path below /nix/store to the store path itself.
func storePath(p string) string {
	for d := p; d != "/" && d != "."; d = path.Dir(d) {
		if path.Dir(d) == "/nix/store" {
			return d
		}
	}
	return ""
}
