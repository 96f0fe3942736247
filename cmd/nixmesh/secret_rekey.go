package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/spec"
	"github.com/nixmesh/nixmesh/trust"
)

func newSecretRekeyCmd(a *app) *cobra.Command {
	var identity string
	cmd := &cobra.Command{
		Use: "rekey [FILE...]", Short: "Encrypt secrets anew for those who need them now",
		Example: `  nixmesh secret rekey                        all files that the HCL names
  nixmesh secret rekey secrets/api-db.age     after its service moved to another host`,
		Long: `Encrypt secrets anew for those who need them now: after a service moved, a host got
another key, or an operator came or went. The texts stay the same; each file is replaced
whole or not at all. Services that read them restart at the next deploy.

Whoever could open a file before still can open its old versions in version control. After
an operator left, change the secrets themselves.

` + identityHelp + `

EXIT STATUS
  0   all written
  1   some file could not be opened or written; the others were
  3   the spec has errors
  6   a host's key is not known; nothing was written`,
		RunE: func(_ *cobra.Command, args []string) error { return runSecretRekey(a, args, identity) },
	}
	cmd.Flags().StringVar(&identity, "identity", "", "the key that opens the secrets, a `FILE`")
	return cmd
}

func runSecretRekey(a *app, args []string, identity string) error {
	f, err := a.openSecrets()
	if err != nil {
		return err
	}
	all, err := f.toRekey(args)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		fmt.Fprintln(a.stderr, "the HCL names no age file")
		return nil
	}
	ids, err := f.identities(identity)
	if err != nil {
		return err
	}
	failed := 0
	for _, r := range all {
		if err := f.rekey(r, ids); err != nil {
			failed++
			fmt.Fprintf(a.stderr, "%v\n", err)
			continue
		}
		fmt.Fprintf(a.stdout, "%s: for %s\n", r.file.File, r)
	}
	if failed > 0 {
		return &exitError{code: exitFailed, err: fmt.Errorf("%s of %d left as before", counted(failed, "file"), len(all))}
	}
	return nil
}

// toRekey are the files that were named, else all that are there, each with
// its recipients; a host whose key is not known ends the command.
func (f *fleet) toRekey(args []string) ([]recipients, error) {
	var files []spec.AgeFile
	for _, arg := range args {
		name, err := secretFile(arg)
		if err != nil {
			return nil, err
		}
		files = append(files, f.ageFile(name))
	}
	if len(args) == 0 {
		for _, file := range f.spec.AgeFiles() {
			if _, err := os.Stat(f.path(file.File)); errors.Is(err, fs.ErrNotExist) {
				fmt.Fprintln(f.stderr, missing(file.File))
				continue
			}
			if file.CA && len(f.faults(f.recipientsOf(file))) == 0 {
				continue // only some operators can open it, and it is right as it is
			}
			files = append(files, file)
		}
	}
	var all []recipients
	for _, file := range files {
		r := f.recipientsOf(file)
		if err := r.complete(); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// missing says where a file that is not there comes from.
func missing(file string) string {
	if file == spec.CARootFile || file == spec.GossipFile {
		return file + " is not there; nixmesh ca init made it: take it from version control"
	}
	return fmt.Sprintf("%s is not there; nixmesh secret set %s makes it", file, file)
}

// rekey encrypts one file for its recipients.
func (f *fleet) rekey(r recipients, ids []trust.AgeIdentity) error {
	text, err := f.open(r.file.File, ids)
	if err != nil {
		return err
	}
	return trust.SealFile(f.path(r.file.File), text, r.keys)
}
