package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/controlplane/gossip"
	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/spec"
	"github.com/nixmesh/nixmesh/trust"
)

func newCAInitCmd(a *app) *cobra.Command {
	var authorities []string
	cmd := &cobra.Command{
		Use: "init", Short: "Make the mesh's CA, and the key of its gossip", Args: cobra.NoArgs,
		Example: `  nixmesh ca init
  nixmesh ca init --authority db1,db2`,
		Long: `Make the mesh's CA: a root that the operators with ca = true can open, and nobody else. Also
made is the gossip key, which keeps strangers out of what the hosts' agents say to each other.

Authorities are the hosts that sign the certificates of services: each can issue any identity
of the mesh. Without --authority up to three are proposed: no gateway, fewest services, then
by name. The next deploy installs the agents, and the deploy of an operator with ca = true
signs the authorities' intermediates.

FILES
  secrets/ca-root.age   the root's key; whoever loses it makes a new CA
  secrets/ca.pem        the root's certificate
  secrets/gossip.age    the gossip key, for all hosts and the operators
  nixmesh.lock          the root's fingerprint, and the authorities

EXIT STATUS
  0   made: commit the files
  1   not confirmed, or a file could not be written; nothing was made
  3   the spec has errors
  6   there is a CA already, no operator may open it, or a host's key is not known`,
		RunE: func(*cobra.Command, []string) error { return runCAInit(a, authorities) },
	}
	cmd.Flags().StringSliceVar(&authorities, "authority", nil, "hosts that sign certificates, by name or selector")
	return cmd
}

func runCAInit(a *app, named []string) error {
	if a.lab {
		_, err := fmt.Fprintln(a.stdout, "Nothing to do: the lab makes a CA of its own in .nixmesh/lab/, with its root in the clear.")
		return err
	}
	f, err := a.openCA()
	if err != nil {
		return err
	}
	if err := f.mayHaveCA(); err != nil {
		return err
	}
	hosts, err := f.authorities(named)
	if err != nil {
		return err
	}
	root, err := trust.NewRoot(f.spec.Name, a.now())
	if err != nil {
		return err
	}
	if err := f.lock.SetCA(f.spec.Name, root.Fingerprint()); err != nil {
		return err
	}
	f.spec.CA.Root = root.Fingerprint() // from here on it is a fleet with a CA
	for _, host := range hosts {
		f.lock.AddAuthority(host)
	}
	rootFor, gossipFor := f.recipientsOf(f.ageFile(spec.CARootFile)), f.recipientsOf(f.ageFile(spec.GossipFile))
	if err := gossipFor.complete(); err != nil {
		return err
	}
	if err := f.proposed(named, hosts); err != nil {
		return err
	}
	if err := f.writeCA(root, rootFor, gossipFor); err != nil {
		return err
	}
	life := trust.LifeOf(root.Certificate)
	t := term.Table{}
	t.Add(spec.CARootFile, fmt.Sprintf("the root's key, for %s; until %s", rootFor, life.Until.UTC().Format(time.DateOnly)))
	t.Add(spec.CAFile, "its certificate, "+root.Fingerprint())
	t.Add(spec.GossipFile, "the gossip key, for "+gossipFor.String())
	t.Add(spec.LockFile, fmt.Sprintf("ca %s, authority %s", f.spec.Name, strings.Join(hosts, ", ")))
	if err := t.Write(a.stdout); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "Commit these files. Next: nixmesh deploy   by %s: it installs the agents and signs for the authorities\n",
		strings.Join(f.ableOperators(), " or "))
	return err
}

// mayHaveCA refuses where a CA would take the place of another, or where nobody
// could open it.
func (f *fleet) mayHaveCA() error {
	if has := f.lock.CA(); has != "" {
		return refusef("the fleet has a CA already: %s\nNext: nixmesh ca status", has)
	}
	for _, file := range []string{spec.CARootFile, spec.CAFile, spec.GossipFile} {
		if _, err := os.Lstat(f.path(file)); err == nil {
			return refusef("%s is there already, and %s names no CA; nothing was written\n"+
				"Next: take the %s that belongs to it from version control, or put the file away", file, spec.LockFile, spec.LockFile)
		}
	}
	if len(f.ableOperators()) == 0 {
		return refusef("no operator may open the CA's root; nothing was written\n" +
			"Next: add ca = true and age = \"age1…\" to an operator block (age-keygen makes a key)")
	}
	return nil
}

// authorities are the hosts that were named, else the proposed ones.
func (f *fleet) authorities(named []string) ([]string, error) {
	if len(named) > 0 {
		return f.pick(strings.Join(named, ","))
	}
	return spec.ProposeAuthorities(f.spec), nil
}

// proposed asks whether the proposed authorities are right; those that a person
// named are.
func (f *fleet) proposed(named, hosts []string) error {
	if len(named) > 0 {
		return nil
	}
	fmt.Fprintf(f.stderr, "Authorities: %s (no gateway, fewest services). Each can issue any identity of the mesh.\n", strings.Join(hosts, ", "))
	if !f.yes && !term.IsTerminal(f.stdin) {
		return refusef("there is no terminal to answer on; nothing was written\nNext: nixmesh ca init --authority %s", strings.Join(hosts, ","))
	}
	return f.confirm(fmt.Sprintf("Make the CA of fleet %s with these authorities?", f.spec.Name))
}

// writeCA writes all files of the CA, or none: the lock, which says that there is
// a CA, comes last.
func (f *fleet) writeCA(root trust.Root, rootFor, gossipFor recipients) error {
	sealed, err := root.Seal(rootFor.keys)
	if err != nil {
		return err
	}
	gossipKey, err := trust.Encrypt(gossip.NewKeyText(), gossipFor.keys)
	if err != nil {
		return err
	}
	var made []string
	undo := func() {
		for _, name := range made {
			if err := os.Remove(name); err != nil {
				f.tell(fmt.Sprintf("%s is of a CA that was not made, and could not be removed: %v", name, err))
			}
		}
	}
	for _, file := range []struct {
		name string
		text []byte
	}{{spec.CARootFile, sealed}, {spec.CAFile, trust.EncodeCertificates(root.Certificate)}, {spec.GossipFile, gossipKey}} {
		name := f.path(file.name)
		if err := writeNew(name, file.text); err != nil {
			undo()
			return fmt.Errorf("write %s: %w; nothing was made", file.name, err)
		}
		made = append(made, name)
	}
	if err := f.lock.Write(f.spec.Dir); err != nil {
		undo()
		return fmt.Errorf("%w; nothing was made", err)
	}
	return nil
}
