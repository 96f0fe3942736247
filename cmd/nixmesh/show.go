package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/compile"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// shownKinds are what show takes a name of.
func shownKinds() []string {
	return []string{"host", "service", "route", "gateway", "external", "operator"}
}

func newShowCmd(a *app) *cobra.Command {
	var nix, meshDoc bool
	cmd := &cobra.Command{
		Use:   "show [host|service|route|gateway|external|operator NAME]",
		Short: "Print the fleet, or a part of it, with all defaults filled in",
		Example: `  nixmesh show
  nixmesh show service web
  nixmesh show route api                   routes in the order in which they are matched
  nixmesh show host app1 --nix             the NixOS module that it is built with
  nixmesh show --mesh                      the mesh configuration`,
		Long: `Print the fleet, or a part of it, with all defaults filled in and marked
"(default)". A dash stands for what is unset and has no default. Numbers are those of
nixmesh.lock, a dash where nixmesh lock has not given them yet.

EXIT STATUS
  0   done
  3   the spec is invalid
  64  there is nothing of that name`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 || len(args) == 2 && !slices.Contains(shownKinds(), args[0]) {
				return usageErrorf("show takes nothing, or NAME after one of %s", strings.Join(shownKinds(), ", "))
			}
			return nil
		},
		ValidArgs: shownKinds(),
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case meshDoc:
				return runShowMesh(a, args)
			case nix:
				return runShowNix(a, args)
			default:
				return runShow(a, args)
			}
		},
	}
	cmd.Flags().BoolVar(&nix, "nix", false, "print the compiled NixOS module of a host, or of all")
	cmd.Flags().BoolVar(&meshDoc, "mesh", false, "print the compiled mesh configuration")
	cmd.MarkFlagsMutuallyExclusive("nix", "mesh")
	return cmd
}

func runShow(a *app, args []string) error {
	s, err := a.newShower()
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return a.printShown("fleet", s.whole())
	}
	kind, name := args[0], args[1]
	if kind == "route" {
		return s.printRoutes(a, name)
	}
	n, err := s.named(kind, name)
	if err != nil {
		return err
	}
	return a.printShown(kind, n)
}

// printShown prints a thing as text, or as JSON under the name of its kind.
func (a *app) printShown(kind string, n *node) error {
	if a.isJSON() {
		return printJSON(a.stdout, map[string]any{"schema": "nixmesh.show/1", "kind": kind, kind: n.tree()})
	}
	return n.print(a.stdout, a.style(a.stdout), "")
}

// shower turns the fleet into what show prints.
type shower struct {
	fleet *spec.Fleet
	lock  *spec.Lock
	mesh  *mesh.Config
	edges map[*spec.Upstream]spec.Edge // of services
	views []*spec.View
}

func (a *app) newShower() (*shower, error) {
	l, lock, err := a.loadLocked()
	if err != nil {
		return nil, err
	}
	return showerOf(l, lock)
}

func showerOf(l *spec.Loaded, lock *spec.Lock) (*shower, error) {
	config, err := compile.Mesh(l.Fleet, lock, nil)
	if err != nil {
		return nil, err
	}
	s := &shower{fleet: l.Fleet, lock: lock, mesh: config, edges: map[*spec.Upstream]spec.Edge{}, views: l.Views()}
	for _, e := range l.Fleet.Edges() {
		if e.Settings != nil {
			s.edges[e.Settings] = e
		}
	}
	return s, nil
}

// loadLocked reads a valid fleet and its lock.
func (a *app) loadLocked() (*spec.Loaded, *spec.Lock, error) {
	l, err := a.loadSpec()
	if err != nil {
		return nil, nil, err
	}
	lock, found := spec.ReadLock(l.Dir)
	if found.HasErrors() {
		a.printDiagnostics(found, withLock(l))
		return nil, nil, diagnosticsExit(found)
	}
	return l, lock, nil
}

// whole is the fleet with everything in it.
func (s *shower) whole() *node {
	var fleet *node
	var others []*node
	for _, v := range s.views {
		if v.Kind == "fleet" {
			fleet = s.node(v)
			continue
		}
		others = append(others, s.node(v))
	}
	fleet.inner = append(fleet.inner, others...)
	return fleet
}

// named finds what the command line names.
func (s *shower) named(kind, name string) (*node, error) {
	for _, v := range s.views {
		if v.Kind == kind && v.Label == name {
			return s.node(v), nil
		}
	}
	return nil, s.unknown(name, kind)
}

// unknown is the error for a name that is of none of these kinds.
func (s *shower) unknown(name string, kinds ...string) error {
	var known []string
	for _, v := range s.views {
		if slices.Contains(kinds, v.Kind) {
			known = append(known, v.Label)
		}
	}
	what := strings.Join(kinds, " or ")
	if len(known) == 0 {
		return usageErrorf("the fleet has no %s", what)
	}
	return usageErrorf("the fleet has no %s %q; it has %s", what, name, strings.Join(known, ", "))
}

// where is a place as show prints it.
func where(p spec.Place) string { return fmt.Sprintf("%s:%d", p.File, p.Line) }
