package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/trust"
)

func newSecretSetCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "set FILE", Short: "Encrypt a secret for the hosts that need it and the operators", Args: cobra.ExactArgs(1),
		Example: `  nixmesh secret set secrets/api-db.age              asks for it, and does not show it
  nixmesh secret set secrets/api-db.age < url.txt    every byte counts, the last newline too
  pwgen -s 40 1 | nixmesh secret set secrets/token.age`,
		Long: `Encrypt a secret for the hosts that need it and the operators. The text comes from the
terminal, where it is not shown, or from standard input as it is; an existing file is replaced.
It needs no key: whoever can write to the fleet's folder can set a secret.

The hosts that need it are those of the services that name FILE in the HCL. A secret may have
1 MiB. Services that read it restart at the next deploy.

EXIT STATUS
  0   written
  1   nothing was given, or the file could not be written
  3   the spec has errors
  6   a host's key is not known, or nobody could open the file; nothing was written`,
		RunE: func(_ *cobra.Command, args []string) error { return runSecretSet(a, args[0]) },
	}
}

func runSecretSet(a *app, arg string) error {
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
	text, err := a.readSecret(file)
	if err != nil {
		return err
	}
	return f.seal(r, text)
}

// readSecret takes the clear text from the terminal or from standard input.
func (a *app) readSecret(file string) ([]byte, error) {
	if !term.IsTerminal(a.stdin) {
		text, err := io.ReadAll(io.LimitReader(a.stdin, trust.MaxSecret+1))
		if err != nil {
			return nil, fmt.Errorf("read secret: %w", err)
		}
		if len(text) == 0 {
			return nil, fmt.Errorf("standard input is empty; nothing was written")
		}
		return text, nil
	}
	text, err := term.Hidden(a.stdin, a.stderr, "Text of "+file+" (not shown)")
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	if len(text) == 0 {
		return nil, fmt.Errorf("nothing was typed; nothing was written")
	}
	return text, nil
}

// seal writes a file for its recipients, and says for whom.
func (f *fleet) seal(r recipients, text []byte) error {
	if err := r.check(text); err != nil {
		return err
	}
	if err := trust.SealFile(f.path(r.file.File), text, r.keys); err != nil {
		return err
	}
	fmt.Fprintf(f.stdout, "%s: %s, for %s\n", r.file.File, counted(len(text), "byte"), r)
	if len(r.operators) == 0 {
		fmt.Fprintln(f.stderr, "no operator has an age key: only the hosts can open it, and rekey cannot")
	}
	if len(r.file.Users) == 0 {
		fmt.Fprintln(f.stderr, "nothing in the HCL names it: no host can open it. Once a service does: nixmesh secret rekey "+r.file.File)
		return nil
	}
	fmt.Fprintf(f.stderr, "commit it; the next deploy restarts %s\n", strings.Join(r.file.Users, ", "))
	return nil
}
