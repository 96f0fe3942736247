package rollback

import (
	"errors"
	"fmt"
	"strings"
)

// setAside is the name that a journal gets which cannot be read.
const setAside = journalFile + ".unreadable"

// phaseUnreadable is the phase of a run whose journal was lost. No version
// knows it, and each treats it as that: OLD, with profile and loader.
const phaseUnreadable Phase = "unreadable"

// replaceUnreadable sets a journal aside that cannot be read (a disk that lost
// what it had acknowledged, or somebody's editor), so that no run is stuck with
// it. The roots of a run that is not over tell what was being done: its
// journal is made anew from them.
func (h *helper) replaceUnreadable() error {
	if _, err := h.journals.load(); !errors.Is(err, errUnreadable) {
		return nil
	}
	unlock, err := h.journals.lock()
	if err != nil {
		return err
	}
	defer unlock()
	_, err = h.journals.load()
	if !errors.Is(err, errUnreadable) {
		return nil // another process was first
	}
	h.note("%v: set aside as %s", err, setAside)
	if err := h.Files.Rename(journalFile, setAside); err != nil {
		return fmt.Errorf("set journal aside: %w", err)
	}
	if err := h.Files.Sync(stateDir); err != nil {
		h.note("sync %s: %v", stateDir, err) // the next boot finds it again
	}
	j := h.fromRoots()
	if j == nil {
		return nil
	}
	h.note("run %s was not over: going back to %s", j.Run, j.Old)
	return h.journals.write(j, true)
}

// fromRoots makes the journal of the run whose roots are there, nil where there
// are none. Units in /run say that the run was armed in this boot; its switch
// may have begun then.
func (h *helper) fromRoots() *Journal {
	names, err := h.Files.ReadDir(gcrootsDir)
	if err != nil {
		return nil
	}
	var found *Journal
	for _, n := range names {
		run, ok := strings.CutPrefix(n, "run-")
		if !ok || !idPattern.MatchString(run) {
			continue
		}
		dir := runRoots(run)
		j := &Journal{Schema: JournalSchema, Run: run, Old: h.link(dir + "/old"), New: h.link(dir + "/new"),
			OldProfile: h.link(dir + "/profile"), Reason: "the journal could not be read"}
		if j.Old == "" || j.New == "" {
			continue // cut off in the middle of root
		}
		armed := exists(h.Files, unitDir+"/"+unitName(kindRevert, run))
		if armed {
			j.SwitchBoot = h.bootID
		}
		j.enter(phaseUnreadable, j.SwitchBoot, h.journals.now())
		if found == nil || armed {
			found = j
		}
	}
	return found
}
