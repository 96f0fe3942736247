package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/spec"
)

func newShowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show [host|service NAME]",
		Short: "Print the fleet, a host or a service with all defaults filled in",
		Example: `  nixmesh show
  nixmesh show service web
  nixmesh show host app1 --json`,
		Long: `Print the fleet, a host or a service with all defaults filled in and marked
"(default)". A dash stands for what is unset and has no default.

EXIT STATUS
  0   done
  3   the spec is invalid
  64  there is no such host or service`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 || len(args) == 2 && args[0] != "host" && args[0] != "service" {
				return usageErrorf("show takes nothing, host NAME or service NAME")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return runShow(a, args) },
	}
}

func runShow(a *app, args []string) error {
	l, err := a.loadSpec()
	if err != nil {
		return err
	}
	lock, found := spec.ReadLock(l.Dir)
	if found.HasErrors() {
		a.printDiagnostics(found, withLock(l))
		return diagnosticsExit(found)
	}
	s := &shower{loaded: l, lock: lock}
	kind, thing := "fleet", (*node)(nil)
	if len(args) == 0 {
		thing = s.fleet(l.Fleet)
	} else {
		kind = args[0]
		if thing, err = s.named(args[0], args[1]); err != nil {
			return err
		}
	}
	if a.isJSON() {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"schema": "nixmesh.show/1", "kind": kind, kind: thing.tree()})
	}
	return thing.print(a.stdout, "")
}

// named finds the host or service that the command line names.
func (s *shower) named(kind, name string) (*node, error) {
	f := s.loaded.Fleet
	var known []string
	if kind == "host" {
		for _, h := range f.Hosts {
			if h.Name == name {
				return s.host(h), nil
			}
			known = append(known, h.Name)
		}
	} else {
		for _, sv := range f.Services {
			if sv.Name == name {
				return s.service(sv), nil
			}
			known = append(known, sv.Name)
		}
	}
	return nil, usageErrorf("the fleet has no %s %q; it has %s", kind, name, strings.Join(known, ", "))
}

// node is a block that is shown: its arguments, then the blocks in it.
type node struct {
	kind  string
	label string
	place string
	args  []shownArg
	inner []*node
}

// shownArg is one argument with its resolved value.
type shownArg struct {
	name      string
	value     any // nil = unset
	isDefault bool
	text      string // printed in place of an empty value
	note      string // printed behind the value
}

// print writes the node as text, aligned, inner blocks indented by two.
func (n *node) print(w io.Writer, indent string) error {
	title := n.kind
	if n.label != "" {
		title += fmt.Sprintf(" %q", n.label)
	}
	if n.place != "" {
		title += "  " + n.place
	}
	if _, err := fmt.Fprintln(w, indent+title); err != nil {
		return err
	}
	width := 0
	for _, a := range n.args {
		width = max(width, len(a.name))
	}
	for _, a := range n.args {
		line := fmt.Sprintf("%s  %-*s  %s", indent, width, a.name, cmp.Or(a.text, shownText(a.value)))
		if a.isDefault {
			line += " (default)"
		}
		if a.note != "" {
			line += " (" + a.note + ")"
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	for _, c := range n.inner {
		if err := c.print(w, indent+"  "); err != nil {
			return err
		}
	}
	return nil
}

// tree is the node for JSON: arguments by name, blocks as lists by kind, and the
// names of the arguments that have their default.
func (n *node) tree() map[string]any {
	t := map[string]any{}
	if n.label != "" {
		t["name"] = n.label
	}
	if n.place != "" {
		t["place"] = n.place
	}
	defaults := []string{}
	for _, a := range n.args {
		t[a.name] = a.value
		if a.isDefault {
			defaults = append(defaults, a.name)
		}
	}
	t["defaults"] = defaults
	for _, c := range n.inner {
		if slices.Contains([]string{"ssh", "rollout", "limits"}, c.kind) {
			t[c.kind] = c.tree()
			continue
		}
		list, _ := t[c.kind+"s"].([]any)
		t[c.kind+"s"] = append(list, c.tree())
	}
	return t
}

// shownText is a value in one line.
func shownText(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		return v
	case []string:
		if len(v) == 0 {
			return "[]"
		}
		return strings.Join(v, ", ")
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(text)
	}
}
