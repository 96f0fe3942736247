package spec

import (
	"os"
	"path/filepath"
	"testing"
)

// TestReferencePages holds the generated pages of docs/reference to the grammar
// and to the pages of the codes.
func TestReferencePages(t *testing.T) {
	for name, want := range map[string]string{
		"language.md":         LanguageReference(),
		"diagnostics.md":      DiagnosticsReference(),
		"nixmesh.schema.json": string(JSONSchema()),
	} {
		path := filepath.Join("..", "docs", "reference", name)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(have) != want {
			t.Errorf("docs/reference/%s is not what the grammar says: go test ./spec -run TestReferencePages -update", name)
		}
	}
}
