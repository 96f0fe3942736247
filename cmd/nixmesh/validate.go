package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/spec"
)

func newValidateCmd(a *app) *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check the spec: syntax, types, names, ports; no network, no Nix, writes nothing",
		Example: `  nixmesh validate
  nixmesh validate --strict          warnings count as errors
  nixmesh --lab validate             the fleet as the lab runs it`,
		Long: `Check the spec: syntax, types, names, ports; no network, no Nix, writes nothing.

EXIT STATUS
  0   the spec is valid
  3   it is not; all mistakes were printed
  6   this nixmesh is outside of fleet.nixmesh`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runValidate(a, strict) },
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings count as errors")
	return cmd
}

func runValidate(a *app, strict bool) error {
	vars, err := a.variables()
	if err != nil {
		return err
	}
	l := spec.Load(a.dir, spec.Options{Lab: a.lab, Vars: vars, Version: version})
	found := l.Diagnostics
	if l.Dir != "" {
		lock, bad := spec.ReadLock(l.Dir)
		found = append(found, bad...)
		if lock != nil && l.Fleet != nil {
			_, bad = lock.Allocate(l.Fleet) // in memory: what the next command that writes it would meet
			found = append(found, bad...)
		}
	}
	if strict {
		found = found.Strict()
	}
	if a.isJSON() {
		if _, err := a.stdout.Write(found.JSON()); err != nil {
			return fmt.Errorf("print diagnostics: %w", err)
		}
		return diagnosticsExit(found)
	}
	a.printDiagnostics(found, withLock(l))
	if found.HasErrors() {
		return diagnosticsExit(found)
	}
	_, err = fmt.Fprintf(a.stdout, "fleet %s: %s, %s, %s. Valid.\n", l.Fleet.Name,
		counted(len(l.Fleet.Hosts), "host"), counted(len(l.Fleet.Services), "service"), counted(found.Count(spec.SeverityWarning), "warning"))
	return err
}

// loadSpec reads the fleet for a command that needs a valid one: diagnostics go
// to stderr, and errors end the command.
func (a *app) loadSpec() (*spec.Loaded, error) {
	vars, err := a.variables()
	if err != nil {
		return nil, err
	}
	l := spec.Load(a.dir, spec.Options{Lab: a.lab, Vars: vars, Version: version})
	if l.Diagnostics.HasErrors() {
		a.printDiagnostics(l.Diagnostics, l.Files)
		return nil, diagnosticsExit(l.Diagnostics)
	}
	return l, nil
}

// variables are the values of --var.
func (a *app) variables() (map[string]string, error) {
	vars := map[string]string{}
	for _, v := range a.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, usageErrorf("--var %q is not NAME=VALUE", v)
		}
		vars[name] = value
	}
	return vars, nil
}

// printDiagnostics writes them to stderr, with a last line that counts
// them and says where the first one is explained.
func (a *app) printDiagnostics(found spec.Diagnostics, files map[string][]byte) {
	if len(found) == 0 {
		return
	}
	style := term.Detect(a.stderr, a.getenv)
	var text bytes.Buffer
	found.Render(&text, files, style.Colour)
	out := wrapDiagnostics(text.String(), style.Width)
	if style.TTY && !style.UTF8 {
		out = strings.NewReplacer("╷", "+", "│", "|", "╵", "+").Replace(out)
	}
	_, _ = io.WriteString(a.stderr, out)
	if !found.HasErrors() {
		return
	}
	in, first := map[string]bool{}, ""
	for _, d := range found {
		if d.Severity == spec.SeverityError {
			first = cmp.Or(first, d.Code)
		}
		if d.Severity == spec.SeverityError && d.File != "" {
			in[d.File] = true
		}
	}
	line := counted(found.Count(spec.SeverityError), "error")
	if n := found.Count(spec.SeverityWarning); n > 0 {
		line += ", " + counted(n, "warning")
	}
	if len(in) > 0 {
		line += " in " + counted(len(in), "file")
	}
	line += ". Nothing was built or contacted."
	next := "   nixmesh explain " + first
	if style.Width > 0 && term.Width(line+next) > style.Width {
		next = "\n" + next
	}
	fmt.Fprintln(a.stderr, line+next)
}

// wrapDiagnostics breaks the sentences of diagnostics behind their rule. Lines of
// the source, which are set off by more than one blank, stay as they are.
func wrapDiagnostics(text string, width int) string {
	const rule = "│ "
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if sentence, is := strings.CutPrefix(line, rule); is && !strings.HasPrefix(sentence, " ") {
			lines[i] = rule + strings.Join(term.Wrap(sentence, max(0, width-term.Width(rule))), "\n"+rule)
		}
	}
	return strings.Join(lines, "\n")
}

// diagnosticsExit is the exit code of a spec with these diagnostics: 6 if only
// another nixmesh is needed, else 3.
func diagnosticsExit(found spec.Diagnostics) error {
	if !found.HasErrors() {
		return nil
	}
	for _, d := range found {
		if d.Severity == spec.SeverityError && d.Code != "NM0008" {
			return &exitError{code: exitInvalid}
		}
	}
	return &exitError{code: exitRefused}
}

// withLock adds the lock to the files that diagnostics show lines of.
func withLock(l *spec.Loaded) map[string][]byte {
	files := map[string][]byte{}
	for name, text := range l.Files {
		files[name] = text
	}
	if text, err := spec.ReadLockText(l.Dir); err == nil && l.Dir != "" {
		files[spec.LockFile] = text
	}
	return files
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
