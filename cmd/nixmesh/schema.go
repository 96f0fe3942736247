package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/spec"
)

func newSchemaCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the language, for editors and generators of *.hcl.json",
		Example: `  nixmesh schema > nixmesh.schema.json
  check-jsonschema --schemafile nixmesh.schema.json services/web.hcl.json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := a.stdout.Write(spec.JSONSchema()); err != nil {
				return fmt.Errorf("print schema: %w", err)
			}
			return nil
		},
	}
}
