package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func newSecretEditCmd(a *app) *cobra.Command {
	var identity string
	cmd := &cobra.Command{
		Use: "edit FILE", Short: "Change a secret in your editor", Args: cobra.ExactArgs(1),
		Example: `  nixmesh secret edit secrets/api-db.age
  EDITOR=nano nixmesh secret edit secrets/api-db.age --identity ~/keys/age.txt`,
		Long: `Change a secret in your editor: $VISUAL, $EDITOR or vi. The clear text lies in a file in
memory, in a folder that only you can read, and is removed when the editor ends. An
unchanged text is not written; a FILE that is not there begins empty.

` + identityHelp + `

EXIT STATUS
  0   written, or unchanged
  1   no key opens the file, or the editor failed; nothing was written
  3   the spec has errors
  6   a host's key is not known, or there is no folder in memory; nothing was written`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSecretEdit(cmd.Context(), a, args[0], identity)
		},
	}
	cmd.Flags().StringVar(&identity, "identity", "", "the key that opens the secret, a `FILE`")
	return cmd
}

func runSecretEdit(ctx context.Context, a *app, arg, identity string) error {
	file, err := secretFile(arg)
	if err != nil {
		return err
	}
	f, err := a.openSecrets()
	if err != nil {
		return err
	}
	r, err := f.toWrite(file)
	if err != nil {
		return err
	}
	before, err := f.textToEdit(file, identity)
	if err != nil {
		return err
	}
	after, err := a.edit(ctx, file, before)
	if err != nil {
		return err
	}
	if bytes.Equal(before, after) {
		fmt.Fprintf(a.stdout, "%s: unchanged\n", file)
		return nil
	}
	if len(after) == 0 {
		return fmt.Errorf("the text is empty; nothing was written")
	}
	return f.seal(r, after)
}

// textToEdit is a secret's clear text, empty for a file that is not there.
func (f *fleet) textToEdit(file, identity string) ([]byte, error) {
	if _, err := os.Stat(f.path(file)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	ids, err := f.identities(identity)
	if err != nil {
		return nil, err
	}
	return f.open(file, ids)
}

// edit lets a person change a text in an editor.
func (a *app) edit(ctx context.Context, file string, text []byte) ([]byte, error) {
	dir, err := a.memoryFolder()
	if err != nil {
		return nil, err
	}
	defer a.removeAll(dir)
	name := filepath.Join(dir, strings.TrimSuffix(filepath.Base(file), ".age"))
	if err := os.WriteFile(name, text, 0o600); err != nil {
		return nil, fmt.Errorf("write clear text: %w", err)
	}
	editor := defaultString(a.getenv("VISUAL"), defaultString(a.getenv("EDITOR"), "vi"))
	// As git does: the variable may hold arguments.
	cmd := exec.CommandContext(ctx, "sh", "-c", editor+` "$@"`, editor, name)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stderr, a.stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("run %s: %w; nothing was written", editor, err)
	}
	after, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read what the editor wrote: %w", err)
	}
	return after, nil
}

// memoryFolder makes a folder for clear text that never reaches a disk, but for
// what the kernel may swap.
func (a *app) memoryFolder() (string, error) {
	for _, dir := range []string{a.getenv("XDG_RUNTIME_DIR"), "/dev/shm"} {
		var system unix.Statfs_t
		if dir == "" || unix.Statfs(dir, &system) != nil || system.Type != unix.TMPFS_MAGIC && system.Type != unix.RAMFS_MAGIC {
			continue
		}
		if made, err := os.MkdirTemp(dir, "nixmesh-edit-"); err == nil {
			return made, nil
		}
	}
	return "", refusef("no folder in memory for the clear text: neither $XDG_RUNTIME_DIR nor /dev/shm is one\nNext: nixmesh secret set FILE, with the text on standard input")
}

// removeAll removes a folder of clear texts, and says where that failed.
func (a *app) removeAll(dir string) {
	if err := os.RemoveAll(dir); err != nil {
		a.tell(fmt.Sprintf("%s holds clear text and could not be removed: %v", dir, err))
	}
}
