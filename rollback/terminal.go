package rollback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
)

// tailLines is how many lines of the run's log an outcome carries.
const tailLines = 20

// sweepWait is how long the closing unit waits for the run's other units.
const sweepWait = 60 * time.Second

// outcome is this host's end of a release, kept beside the record.
type outcome struct {
	ReleaseHash string   `json:"release_hash"`
	Run         string   `json:"run"`
	End         Phase    `json:"end"`
	Old         string   `json:"old"`
	New         string   `json:"new"`
	Generation  int      `json:"generation"`
	Reason      string   `json:"reason,omitempty"`
	LogTail     []string `json:"log_tail,omitempty"`
}

// finish ends a run: the terminal phase is written first, then the outcome,
// then the closing unit clears up. edit may add to the journal.
func (h *helper) finish(ctx context.Context, run string, from []Phase, to Phase, edit func(*Journal)) (*Journal, error) {
	_, generation := h.profile()
	tail := h.tail(logFile(run), tailLines)
	j, err := h.journals.change(run, from, to, func(j *Journal) {
		if edit != nil {
			edit(j)
		}
		j.Generation, j.LogTail = generation, tail
	})
	if err != nil {
		return j, err
	}
	if err := h.writeOutcome(j); err != nil {
		h.note("outcome of run %s is in the journal only: %v", run, err)
	}
	if err := h.settleOperators(j); err != nil {
		h.note("the next verb removes operators: %v", err)
	}
	if !exists(h.Files, unitDir+"/"+unitName(kindClose, run)) {
		return j, h.sweep(ctx, j, 0)
	}
	if err := h.start(ctx, run, kindClose); err != nil {
		h.note("the next verb clears up behind run %s: %v", run, err)
	}
	return j, nil
}

// writeOutcome writes releases/N.HASH.outcome.json; a run without a release
// has none.
func (h *helper) writeOutcome(j *Journal) error {
	if j.Release <= 0 || !hashPattern.MatchString(j.ReleaseHash) {
		return nil
	}
	b, err := json.MarshalIndent(outcome{ReleaseHash: j.ReleaseHash, Run: j.Run, End: j.Phase, Old: j.Old, New: j.New,
		Generation: j.Generation, Reason: j.Reason, LogTail: j.LogTail}, "", " ")
	if err != nil {
		return fmt.Errorf("encode outcome: %w", err)
	}
	if err := h.Files.MkdirAll(releasesDir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", releasesDir, err)
	}
	return writeDurable(h.Files, recordFile(j.Release, j.ReleaseHash, ".outcome.json"), append(b, '\n'))
}

// tail is the last n lines of a file.
func (h *helper) tail(name string, n int) []string {
	b, err := h.Files.ReadFile(name)
	if err != nil {
		return nil
	}
	text := strings.TrimRight(string(b), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-n):]
}

// litter says whether anything of a run is left to clear up.
func (h *helper) litter(run string) bool {
	return exists(h.Files, unitDir+"/"+unitName(kindRevert, run)) || exists(h.Files, runRoots(run)) ||
		exists(h.Files, unitDir+"/"+unitName(kindClose, run))
}

// sweep clears up behind a run that is over: timers, unit files, run roots.
// Unit files may only go when nothing of the run is active, or else a timer
// fails and an ExecStopPost is lost; so it waits up to wait, and leaves the
// rest to the next verb's sweep.
func (h *helper) sweep(ctx context.Context, j *Journal, wait time.Duration) error {
	if !h.litter(j.Run) {
		return nil
	}
	if wait == 0 {
		if closing, err := h.closing(ctx, j.Run); err != nil || closing {
			return err // one sweep at a time
		}
	}
	until := h.Clock.Boot() + wait
	for {
		left, err := h.activeServices(ctx, j.Run)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			break
		}
		if h.Clock.Boot() >= until {
			return nil
		}
		if err := h.Clock.Sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	for _, t := range []string{timerA, timerB, timerC} {
		if err := h.disarm(ctx, j.Run, t); err != nil {
			return err
		}
	}
	h.freeReserve()
	if err := h.Files.Remove(progressFile(j.Run)); err != nil {
		return fmt.Errorf("remove progress: %w", err)
	}
	if j.Phase != PhaseCommitted && j.Commit.Root {
		if err := h.Files.Remove(releaseRoot(j.Release)); err != nil {
			return fmt.Errorf("remove release root: %w", err)
		}
	}
	if err := h.removeRunRoots(j.Run); err != nil {
		return err
	}
	return h.removeUnits(ctx, j.Run)
}

// removeUnits is the last step of the sweep: the closing unit loses its own
// file and with it CollectMode, so if it failed after that, systemd would
// remember it until the next boot.
func (h *helper) removeUnits(ctx context.Context, run string) error {
	removed := false
	for _, kind := range runKinds {
		name := unitDir + "/" + unitName(kind, run)
		if !exists(h.Files, name) {
			continue
		}
		removed = true
		if err := h.Files.Remove(name); err != nil {
			return fmt.Errorf("remove unit of run: %w", err)
		}
	}
	if removed {
		if err := h.withSystemd(ctx, func(s Systemd) error { return s.Reload(ctx) }); err != nil {
			return err
		}
	}
	return h.resetFailed(ctx, run)
}

// closeWait bounds how long an answer about a finished run waits for the
// closing unit.
const closeWait = 5 * time.Second

// awaitClose waits until the closing unit is done: who is told that a run is
// over finds nothing of it any more. It is not worth an error.
func (h *helper) awaitClose(ctx context.Context, run string) error {
	until := h.Clock.Boot() + closeWait
	for {
		closing, err := h.closing(ctx, run)
		if err != nil {
			h.note("wait for the clearing up of run %s: %v", run, err)
			return nil
		}
		if !closing || h.Clock.Boot() >= until {
			return nil
		}
		if err := h.Clock.Sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// closing says that the closing unit runs or is about to, or that the unit
// which ended the run has not come to start it yet.
func (h *helper) closing(ctx context.Context, run string) (bool, error) {
	busy := false
	err := h.withSystemd(ctx, func(s Systemd) error {
		units, err := s.List(ctx)
		if err != nil {
			return err
		}
		for _, u := range units {
			busy = busy || (ofRun(u.Name, run) && isService(u.Name) && u.busy())
		}
		return nil
	})
	return busy, err
}

func (h *helper) resetFailed(ctx context.Context, run string) error {
	return h.withSystemd(ctx, func(s Systemd) error {
		units, err := s.List(ctx)
		if err != nil {
			return err
		}
		for _, u := range units {
			if ofRun(u.Name, run) && u.failed() {
				if err := s.ResetFailed(ctx, u.Name); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// activeServices lists the services of a run that run or are about to; the
// closing unit does not count.
func (h *helper) activeServices(ctx context.Context, run string) ([]string, error) {
	return h.activeOf(ctx, run, isService)
}

// activeTimers lists the dead-man timers that still wait; one that elapsed is
// not among them.
func (h *helper) activeTimers(ctx context.Context, run string) ([]string, error) {
	return h.activeOf(ctx, run, func(name string) bool { return strings.HasSuffix(name, ".timer") })
}

func (h *helper) activeOf(ctx context.Context, run string, kind func(string) bool) ([]string, error) {
	var active []string
	err := h.withSystemd(ctx, func(s Systemd) error {
		units, err := s.List(ctx)
		if err != nil {
			return err
		}
		for _, u := range units {
			if !ofRun(u.Name, run) || !kind(u.Name) || u.Name == unitName(kindClose, run) {
				continue
			}
			if u.busy() && u.Sub != "elapsed" {
				active = append(active, u.Name)
			}
		}
		return nil
	})
	return active, err
}

func runRoots(run string) string     { return gcrootsDir + "/run-" + run }
func releaseRoot(release int) string { return fmt.Sprintf("%s/release-%d", gcrootsDir, release) }

// removeRunRoots lets NEW and OLD be collected again, where nothing else
// keeps them.
func (h *helper) removeRunRoots(run string) error {
	dir := runRoots(run)
	names, err := h.Files.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read roots of run: %w", err)
	}
	for _, n := range names {
		if err := h.Files.Remove(path.Join(dir, n)); err != nil {
			return fmt.Errorf("remove root of run: %w", err)
		}
	}
	if err := h.Files.Remove(dir); err != nil {
		return fmt.Errorf("remove roots of run: %w", err)
	}
	return nil
}

// removeOrphans removes the roots of runs that never came to a journal: the
// power went in the middle of root. Only for callers that no other root can
// run beside: the boot, and root itself under its lease.
func (h *helper) removeOrphans(keep string) error {
	names, err := h.Files.ReadDir(gcrootsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read roots: %w", err)
	}
	for _, n := range names {
		run, ok := strings.CutPrefix(n, "run-")
		if !ok || run == keep {
			continue
		}
		if err := h.removeRunRoots(run); err != nil {
			return err
		}
	}
	return nil
}
