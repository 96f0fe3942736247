package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/trust"
)

func newSecretListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the age files, who needs them, and who can open them", Args: cobra.NoArgs,
		Example: `  nixmesh secret list
  nixmesh secret list -o json`,
		Long: `List the age files that the HCL names, who needs them, and whether they are for exactly
those who should open them. It needs no key. age recipients of operators are anonymous:
their number is compared.

EXIT STATUS
  0   listed
  3   the spec has errors`,
		RunE: func(*cobra.Command, []string) error { return runSecretList(a) },
	}
}

// listedSecret is one line of the list, and its JSON.
type listedSecret struct {
	File   string   `json:"file"`
	Users  []string `json:"users"`
	Hosts  []string `json:"hosts"`
	OK     bool     `json:"ok"`
	Faults []string `json:"faults"` // what is wrong with the file, as read
}

func runSecretList(a *app) error {
	f, err := a.openSecrets()
	if err != nil {
		return err
	}
	list := []listedSecret{}
	for _, file := range f.spec.AgeFiles() {
		faults := f.faults(f.recipientsOf(file))
		list = append(list, listedSecret{File: file.File, Users: file.Users, Hosts: file.Hosts, OK: len(faults) == 0, Faults: faults})
	}
	if a.isJSON() {
		return printJSON(a.stdout, struct {
			Schema  string         `json:"schema"`
			Secrets []listedSecret `json:"secrets"`
		}{"nixmesh.secret-list/1", list})
	}
	if len(list) == 0 {
		fmt.Fprintln(a.stderr, "the HCL names no age file")
		return nil
	}
	t := term.Table{Header: []string{"FILE", "FOR", "HOSTS", "RECIPIENTS"}}
	for _, s := range list {
		state := "ok"
		if !s.OK {
			state = strings.Join(s.Faults, "; ")
		}
		t.Add(s.File, strings.ReplaceAll(strings.Join(s.Users, ", "), `"`, ""), strings.Join(s.Hosts, ", "), state)
	}
	return t.Write(a.stdout)
}

// faults compares whom a file is for with whom it should be for.
func (f *fleet) faults(r recipients) []string {
	header, err := trust.AgeRecipients(f.path(r.file.File))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []string{"no such file"}
	case errors.Is(err, trust.ErrNotAge):
		return []string{"not an age file, or damaged"}
	case err != nil:
		return []string{err.Error()}
	}
	faults := []string{}
	want := []string{}
	expect := func(name, key string) {
		tag, err := trust.SSHTag(key)
		if err != nil {
			return
		}
		want = append(want, tag)
		if !slices.Contains(header.SSHTags, tag) {
			faults = append(faults, "not for "+name)
		}
	}
	anonymous := 0
	for _, op := range f.spec.Operators {
		if r.file.CA && !op.CA || op.Age == "" {
			continue
		}
		if strings.HasPrefix(op.Age, "age1") {
			anonymous++
		} else {
			expect("operator "+op.Name, op.Age)
		}
	}
	for _, host := range r.file.Hosts {
		if slices.Contains(r.unknown, host) {
			faults = append(faults, "no key known of "+host)
			continue
		}
		expect(host, f.hostKey(host))
	}
	if header.X25519 != anonymous {
		faults = append(faults, fmt.Sprintf("for %d age keys, operators have %d", header.X25519, anonymous))
	}
	strange := slices.DeleteFunc(header.SSHTags, func(tag string) bool { return slices.Contains(want, tag) })
	if n := len(strange) + len(header.Others); n > 0 && len(r.unknown) == 0 {
		faults = append(faults, "for "+counted(n, "key")+" that should not open it")
	}
	return faults
}
