package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/spec"
)

func newLockCmd(a *app) *cobra.Command {
	var prune bool
	var renumber string
	cmd := &cobra.Command{
		Use:   "lock",
		Short: "Allocate ports and uids in nixmesh.lock",
		Example: `  nixmesh lock
  nixmesh lock --prune                      forget what is gone; its numbers are free again
  nixmesh lock --renumber "port web"        after a merge gave one number twice`,
		Long: `Allocate ports and uids in nixmesh.lock. Entries that are there are never changed, but
by --renumber; what the fleet needs no more is kept as gone, until --prune.

EXIT STATUS
  0   done; what changed was printed
  1   failed; nothing changed
  3   the spec or the lock is invalid`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runLock(a, prune, renumber) },
	}
	cmd.Flags().BoolVar(&prune, "prune", false, "forget the entries that are gone")
	cmd.Flags().StringVar(&renumber, "renumber", "", "give this entry another number, `KIND NAME`")
	cmd.MarkFlagsMutuallyExclusive("prune", "renumber")
	return cmd
}

func runLock(a *app, prune bool, renumber string) error {
	loaded, err := a.loadSpec()
	if err != nil {
		return err
	}
	var lock *spec.Lock
	var found spec.Diagnostics
	if renumber != "" {
		lock, found, err = spec.Renumber(loaded.Dir, renumber)
		if err != nil {
			return err
		}
	} else {
		lock, found = spec.ReadLock(loaded.Dir)
	}
	if found.HasErrors() {
		a.printDiagnostics(found, withLock(loaded))
		return diagnosticsExit(found)
	}
	if renumber == "" {
		if _, found = lock.Allocate(loaded.Fleet); found.HasErrors() && !prune {
			a.printDiagnostics(found, loaded.Files)
			return diagnosticsExit(found)
		}
	}
	if prune {
		lock.Prune()
		if _, found = lock.Allocate(loaded.Fleet); found.HasErrors() {
			a.printDiagnostics(found, loaded.Files)
			return diagnosticsExit(found)
		}
	}
	return a.writeLock(loaded.Dir, lock)
}

// writeLock writes a lock that differs from the file, and prints how.
func (a *app) writeLock(dir string, lock *spec.Lock) error {
	before, err := spec.ReadLockText(dir)
	if err != nil {
		return err
	}
	after := lock.Bytes()
	if bytes.Equal(before, after) {
		_, err := fmt.Fprintln(a.stdout, "nixmesh.lock is up to date.")
		return err
	}
	if err := lock.Write(dir); err != nil {
		return err
	}
	for _, line := range lockChanges(string(before), string(after)) {
		if _, err := fmt.Fprintln(a.stdout, line); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(a.stdout, "nixmesh.lock changed: commit it.")
	return err
}

// lockChanges are the lines that went and came, sorted as in the file.
func lockChanges(before, after string) []string {
	had, has := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(before) {
		had[line] = true
	}
	var changes []string
	for line := range strings.Lines(after) {
		has[line] = true
	}
	for line := range strings.Lines(before) {
		if !has[line] {
			changes = append(changes, "  - "+strings.TrimSpace(line))
		}
	}
	for line := range strings.Lines(after) {
		if !had[line] && !strings.HasPrefix(line, "nixmesh-lock ") {
			changes = append(changes, "  + "+strings.TrimSpace(line))
		}
	}
	return changes
}
