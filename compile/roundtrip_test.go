package compile_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixmesh/nixmesh/compile"
)

// Nix reads back what we write, whatever the text looks like.
func TestNixReadsValuesBack(t *testing.T) {
	t.Parallel()
	nix := findNix(t)
	values := map[string]any{
		"strings": []any{
			"", "plain", "ümläut 🙂", "a\nb\tc\rd", `"quoted"`, `back\slash`, `\n`, `\\"`, `\$`,
			"$", "$$", "$x", "${x}", "$${x}", "$$${x}", "$$$${x}", `\${x}`, `$\{x}`, `"${"`, "''", "''${x}''", "a$", "{$}", "'",
		},
		"numbers": []any{int64(0), int64(-1), int64(9223372036854775807), int64(-9223372036854775808), 0.25, -0.25, 1e-7, 123456.789},
		"others":  []any{true, false, nil, []any{}, map[string]any{}, []any{int64(-1), -0.5, "x"}},
		"names": map[string]any{
			"a.b": int64(1), "": int64(2), "with": int64(3), "in": int64(4), "a-b'": int64(5), "1a": int64(6), "${x}": int64(7), `"`: int64(8), "or": int64(9), "__x": int64(10),
		},
	}
	out, err := nix.run(t, "eval", "--json", "--expr", compile.NixText(values))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(parsed(t, encoded(t, values)), parsed(t, out)); diff != "" {
		t.Error(diff)
	}
}

func encoded(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func parsed(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}
