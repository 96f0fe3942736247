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
		Short: "Allocate uids, ports and addresses in nixmesh.lock",
		Example: `  nixmesh lock
  nixmesh lock --prune                      forget what is gone; its numbers are free again
  nixmesh lock --renumber "port web"        after a merge gave one number twice`,
		Long: `Allocate uids, ports and addresses in nixmesh.lock. Entries that are there are never
changed, but by --renumber; what the fleet needs no more is kept as gone, until --prune.
Sorted lines merge well: "nixmesh.lock merge=union" in .gitattributes keeps both sides.

EXIT STATUS
  0   done; what changed was printed
  1   failed; nothing changed
  3   the spec or the lock is invalid`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if renumber != "" {
				return runRenumber(a, renumber)
			}
			return runLock(a, prune)
		},
	}
	cmd.Flags().BoolVar(&prune, "prune", false, "forget the entries that are gone")
	cmd.Flags().StringVar(&renumber, "renumber", "", "give this entry another number, `\"KIND NAME\"`")
	cmd.MarkFlagsMutuallyExclusive("prune", "renumber")
	return cmd
}

func runLock(a *app, prune bool) error {
	loaded, err := a.loadSpec()
	if err != nil {
		return err
	}
	lock, found := spec.ReadLock(loaded.Dir)
	if !found.HasErrors() {
		_, found = lock.Allocate(loaded.Fleet)
		if prune { // what is gone now goes; then there may be room
			lock.Prune()
			_, found = lock.Allocate(loaded.Fleet)
		}
	}
	if found.HasErrors() {
		a.printDiagnostics(found, withLock(loaded))
		return diagnosticsExit(found)
	}
	return a.writeLock(loaded.Dir, lock)
}

// runRenumber moves one entry. It is the way out of a bad merge, so it does not
// ask for a valid spec, which nobody has in the middle of one.
func runRenumber(a *app, kindName string) error {
	dir, err := spec.FindDir(a.dir)
	if err != nil {
		_, err := a.loadSpec() // says what is wrong
		return err
	}
	at := &spec.Loaded{Dir: dir}
	lock, found, err := spec.Renumber(dir, kindName)
	if err != nil {
		return err
	}
	if found.HasErrors() {
		a.printDiagnostics(found, withLock(at))
		return diagnosticsExit(found)
	}
	if err := a.writeLock(dir, lock); err != nil {
		return err
	}
	if _, found = spec.ReadLock(dir); found.HasErrors() {
		fmt.Fprintln(a.stderr, "More is left of the merge:")
		a.printDiagnostics(found, withLock(at))
	}
	return diagnosticsExit(found)
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
