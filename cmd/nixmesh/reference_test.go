package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "rewrite generated pages and goldens")

// TestReferencePage holds docs/reference/cli.md to the command tree.
func TestReferencePage(t *testing.T) {
	a := &app{stdin: strings.NewReader(""), stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, getenv: func(string) string { return "" }, now: time.Now}
	root := newRootCmd(a)
	var b strings.Builder
	b.WriteString("# Command reference\n\nGenerated from the command tree: `go test ./cmd/nixmesh -run TestReferencePage -update`.\n")
	fmt.Fprintf(&b, "\n## Flags of every command\n```\n%s```\n", flags(root.PersistentFlags()))
	describe(&b, root)
	path := filepath.Join("..", "..", "docs", "reference", "cli.md")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Error("docs/reference/cli.md is not what the commands say: go test ./cmd/nixmesh -run TestReferencePage -update")
	}
}

func describe(b *strings.Builder, cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if c.Runnable() {
			fmt.Fprintf(b, "\n## nixmesh %s\n%s.\n", strings.TrimPrefix(c.UseLine(), "nixmesh "), strings.TrimSuffix(c.Short, "."))
			var text []string
			if c.Example != "" {
				text = append(text, strings.Trim(c.Example, "\n"))
			}
			if long := strings.TrimSpace(c.Long); long != "" {
				text = append(text, long)
			}
			if own := flags(c.LocalNonPersistentFlags()); own != "" {
				text = append(text, strings.TrimRight(own, "\n"))
			}
			if len(text) > 0 {
				fmt.Fprintf(b, "```\n%s\n```\n", strings.Join(text, "\n\n"))
			}
		}
		describe(b, c)
	}
}

// flags is the usage text of flags without --help.
func flags(set *pflag.FlagSet) string {
	shown := pflag.NewFlagSet("", pflag.ContinueOnError)
	set.VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			shown.AddFlag(f)
		}
	})
	return shown.FlagUsages()
}
