package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nixmesh/nixmesh/internal/term"
)

// print writes the node as text, aligned, inner blocks indented by two.
func (n *node) print(w io.Writer, style term.Style, indent string) error {
	title := n.kind
	if n.label != "" {
		title += fmt.Sprintf(" %q", n.label)
	}
	line := indent + style.Bold(title)
	switch {
	case n.off:
		line += "  " + style.Dim("none (default)")
	case n.place != "":
		line += "  " + style.Dim(n.place)
	}
	if _, err := fmt.Fprintln(w, line); err != nil {
		return err
	}
	if n.off {
		return nil
	}
	if err := printArgs(w, style, indent+"  ", n.args); err != nil {
		return err
	}
	if len(n.facts) > 0 {
		if _, err := fmt.Fprintln(w, indent+"  "+style.Dim("facts")); err != nil {
			return err
		}
	}
	if err := printArgs(w, style, indent+"    ", n.facts); err != nil {
		return err
	}
	for _, in := range n.inner {
		if err := in.print(w, style, indent+"  "); err != nil {
			return err
		}
	}
	return nil
}

func printArgs(w io.Writer, style term.Style, indent string, args []shownArg) error {
	width := 0
	for _, a := range args {
		width = max(width, len(a.name))
	}
	for _, a := range args {
		if err := a.print(w, style, indent, width); err != nil {
			return err
		}
	}
	return nil
}

func (a shownArg) print(w io.Writer, style term.Style, indent string, width int) error {
	lines := strings.Split(cmp.Or(a.text, shownText(a.value)), "\n")
	switch {
	case a.isDefault:
		lines[len(lines)-1] = style.Dim(lines[len(lines)-1] + " (default)")
	case a.note != "":
		lines[len(lines)-1] += style.Dim(" (" + a.note + ")")
	}
	for i, line := range lines {
		name := a.name
		if i > 0 {
			name = ""
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%s%-*s  %s", indent, width, name, line), " ")); err != nil {
			return err
		}
	}
	return nil
}

// tree is the node for JSON: arguments by name, what follows from them under
// "facts", blocks by kind, in lists where there may be several, and the names of
// the arguments that were not written. A block that is not there is null.
func (n *node) tree() any {
	if n.off {
		return nil
	}
	t := map[string]any{}
	if n.label != "" {
		t[labelKey(n.kind)] = n.label
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
	if len(n.facts) > 0 {
		facts := map[string]any{}
		for _, a := range n.facts {
			facts[a.name] = a.value
		}
		t["facts"] = facts
	}
	for _, in := range n.inner {
		if !in.listed {
			t[in.kind] = in.tree()
			continue
		}
		list, _ := t[listName(in.kind)].([]any)
		t[listName(in.kind)] = append(list, in.tree())
	}
	return t
}

// labelKey is what a block's label is called in JSON: a listen has an argument
// "name" besides.
func labelKey(kind string) string {
	if kind == "listen" {
		return "protocol"
	}
	return "name"
}

func listName(kind string) string {
	if strings.HasSuffix(kind, "s") {
		return kind
	}
	return kind + "s"
}

// shownText is a value in one line.
func shownText(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		if v == "" {
			return `""`
		}
		return v
	case []string:
		return shownList(v)
	case []int:
		var texts []string
		for _, e := range v {
			texts = append(texts, strconv.Itoa(e))
		}
		return shownList(texts)
	case []any:
		var texts []string
		for _, e := range v {
			texts = append(texts, shownText(e))
		}
		return shownList(texts)
	case map[string]any:
		var texts []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			texts = append(texts, key+" = "+shownText(v[key]))
		}
		if len(texts) == 0 {
			return "{}"
		}
		return "{ " + strings.Join(texts, ", ") + " }"
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(text)
	}
}

func shownList(texts []string) string {
	if len(texts) == 0 {
		return "[]"
	}
	return strings.Join(texts, ", ")
}
