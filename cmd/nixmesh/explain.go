package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/spec"
)

func newExplainCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [CODE]",
		Short: "Explain a code of a diagnostic: cause, a bad example, a good one",
		Example: `  nixmesh explain NM0204
  nixmesh explain                    all codes, one a line
  nixmesh explain NM0204 -o json`,
		Long: `Explain a code of a diagnostic: cause, a bad example, a good one. Without a code,
all codes are listed. It reads no fleet and works anywhere.

EXIT STATUS
  0   done
  64  there is no such code`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return runExplainAll(a)
			}
			return runExplain(a, args[0])
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return spec.Codes(), cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// explainDoc is a code in JSON; the examples are left out of the list of all.
type explainDoc struct {
	Code     string         `json:"code"`
	Severity string         `json:"severity"`
	Summary  string         `json:"summary"`
	Meaning  string         `json:"meaning"`
	Cause    string         `json:"cause,omitempty"`
	Shared   []spec.Example `json:"shared,omitempty"`
	Bad      []spec.Example `json:"bad,omitempty"`
	Good     []spec.Example `json:"good,omitempty"`
}

func runExplainAll(a *app) error {
	all := make([]explainDoc, 0, len(spec.Codes()))
	for _, code := range spec.Codes() {
		x, _ := spec.Explain(code)
		all = append(all, explainDoc{Code: code, Severity: x.Severity.String(), Summary: x.Summary, Meaning: x.Meaning})
	}
	if a.isJSON() {
		return json.NewEncoder(a.stdout).Encode(map[string]any{"schema": "nixmesh.codes/1", "codes": all})
	}
	style := a.style(a.stdout)
	const before = len("NM0101  warning   ")
	table := term.Table{Header: []string{"CODE", "SEVERITY", "MEANING"}}
	for _, x := range all {
		meaning := term.Wrap(x.Meaning, max(0, style.Width-before))
		table.Add(style.Bold(x.Code), paintSeverity(style, x.Severity), meaning[0])
		for _, more := range meaning[1:] {
			table.Add(" ", " ", more)
		}
	}
	return table.Write(a.stdout)
}

func runExplain(a *app, word string) error {
	code := strings.ToUpper(word)
	x, known := spec.Explain(code)
	if !known {
		hint := "All codes: nixmesh explain"
		if near := spec.NearestCode(code); near != "" {
			hint = fmt.Sprintf("Did you mean %q?", near)
		}
		return usageErrorf("there is no code %q. %s", word, hint)
	}
	if a.isJSON() {
		return json.NewEncoder(a.stdout).Encode(struct {
			Schema string `json:"schema"`
			explainDoc
		}{"nixmesh.explain/1", explainDoc{x.Code, x.Severity.String(), x.Summary, x.Meaning, x.Cause, x.Shared, x.Bad, x.Good}})
	}
	return printExplanation(a.stdout, a.style(a.stdout), x)
}

func printExplanation(w io.Writer, style term.Style, x spec.Explanation) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s (%s)\n\n%s\n", style.Bold(x.Code), x.Summary, paintSeverity(style, x.Severity.String()), flowed(x.Meaning, style.Width))
	if x.Cause != "" {
		fmt.Fprintf(&b, "\n%s\n", flowed(x.Cause, style.Width))
	}
	for _, part := range []struct {
		title string
		files []spec.Example
	}{{"In both:", x.Shared}, {style.Bad("Wrong:"), x.Bad}, {style.Good("Right:"), x.Good}} {
		if len(part.files) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", part.title)
		for _, file := range part.files {
			if file.Name != "" {
				fmt.Fprintf(&b, "\n  %s\n", style.Dim(file.Name))
			}
			b.WriteString("\n" + indented(file.Shown()))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// flowed breaks paragraphs anew where the terminal is narrower than they were
// written for.
func flowed(text string, width int) string {
	if width == 0 || width >= 80 {
		return text
	}
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = strings.Join(term.Wrap(strings.ReplaceAll(p, "\n", " "), width), "\n")
	}
	return strings.Join(paragraphs, "\n\n")
}

// indented sets a text off by four blanks; empty lines stay empty.
func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			b.WriteString("    ")
		}
		b.WriteString(line)
	}
	return b.String()
}

func paintSeverity(style term.Style, severity string) string {
	if severity == spec.SeverityWarning.String() {
		return style.Warn(severity)
	}
	return style.Bad(severity)
}
