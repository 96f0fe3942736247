package spec

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/rogpeppe/go-internal/txtar"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// TestJSONSchemaTakesTheSamples: the samples that hold the whole grammar, written
// in JSON, are right by the schema, and Load reads the same of them.
func TestJSONSchemaTakesTheSamples(t *testing.T) {
	samples, err := filepath.Glob("testdata/check/valid*.txtar")
	if err != nil || len(samples) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	schema := readSchema(t)
	for _, sample := range samples {
		t.Run(strings.TrimSuffix(filepath.Base(sample), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(sample)
			if err != nil {
				t.Fatal(err)
			}
			dir, lab := unpack(t, archive)
			want := Load(dir, Options{Lab: lab, Version: "0.3.1"})
			for name, text := range want.Files {
				if isLab(name) || strings.HasSuffix(name, ".vars.hcl") || strings.HasSuffix(name, ".json") {
					continue
				}
				doc := bodyAsJSON(t, text)
				for _, wrong := range schema.check(schema.root, doc, name) {
					t.Error(wrong)
				}
				asJSON, err := json.MarshalIndent(doc, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name+".json"), asJSON, 0o644); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got := Load(dir, Options{Lab: lab, Version: "0.3.1"})
			if g, w := codesOf(got.Diagnostics), codesOf(want.Diagnostics); !slices.Equal(g, w) {
				t.Errorf("in JSON: %v; in HCL: %v", got.Diagnostics, want.Diagnostics)
			}
			if !maps.Equal(got.written, want.written) {
				t.Errorf("in JSON, %d arguments are read; in HCL %d", len(got.written), len(want.written))
			}
		})
	}
}

func codesOf(found Diagnostics) []string {
	all := make([]string, len(found))
	for i, d := range found {
		all[i] = d.Code
	}
	slices.Sort(all)
	return all
}

// TestJSONSchemaRefuses: what validate would refuse by the grammar alone, an
// editor refuses while it is typed.
func TestJSONSchemaRefuses(t *testing.T) {
	schema := readSchema(t)
	for _, c := range []struct{ text, what string }{
		{`{"servise": {}}`, "servise"},
		{`{"service": {"web": {"on": ["@app"], "hardened": "strict"}}}`, "hardened"},
		{`{"service": {"web": {}}}`, "on"},
		{`{"service": {"Web": {"on": ["@app"]}}}`, "Web"},
		{`{"service": {"web": {"on": ["@app"], "harden": "very"}}}`, "harden"},
		{`{"service": {"web": {"on": ["@app"], "limits": {"memory": "512M"}}}}`, "memory"},
		{`{"service": {"web": {"on": ["@app"], "upstream": {"api": {"timeout": "90"}}}}}`, "timeout"},
		{`{"service": {"web": {"on": ["@app"], "listen": {"http": {"port": 70000}}}}}`, "port"},
		{`{"service": {"web": {"on": "@app"}}}`, "on"},
	} {
		var doc any
		if err := json.Unmarshal([]byte(c.text), &doc); err != nil {
			t.Fatal(err)
		}
		if wrong := schema.check(schema.root, doc, ""); len(wrong) == 0 || !strings.Contains(strings.Join(wrong, "\n"), c.what) {
			t.Errorf("%s: got %q", c.text, wrong)
		}
	}
}

// bodyAsJSON is a file in HCL's JSON syntax.
func bodyAsJSON(t *testing.T, src []byte) map[string]any {
	t.Helper()
	file, diags := hclsyntax.ParseConfig(src, "", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	text, err := json.Marshal(asJSON(src, file.Body.(*hclsyntax.Body)))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// asJSON gives every label a list, so that repeated ones need no thought.
func asJSON(src []byte, body *hclsyntax.Body) map[string]any {
	doc := map[string]any{}
	for name, a := range body.Attributes {
		doc[name] = exprAsJSON(src, name, a.Expr)
	}
	for _, b := range body.Blocks {
		one := asJSON(src, b.Body)
		if len(b.Labels) == 0 {
			list, _ := doc[b.Type].([]any)
			doc[b.Type] = append(list, one)
			continue
		}
		labels, _ := doc[b.Type].([]any)
		doc[b.Type] = append(labels, map[string]any{b.Labels[0]: one})
	}
	return doc
}

func exprAsJSON(src []byte, name string, expr hclsyntax.Expression) any {
	switch x := expr.(type) {
	case *hclsyntax.TupleConsExpr:
		list := []any{}
		for _, entry := range x.Exprs {
			list = append(list, exprAsJSON(src, "", entry))
		}
		return list
	case *hclsyntax.ObjectConsExpr:
		object := map[string]any{}
		for _, entry := range x.Items {
			if key, diags := entry.KeyExpr.Value(nil); !diags.HasErrors() {
				object[key.AsString()] = exprAsJSON(src, "", entry.ValueExpr)
			}
		}
		return object
	}
	if v, diags := expr.Value(nil); !diags.HasErrors() {
		text, err := ctyjson.Marshal(v, v.Type())
		if err != nil {
			return err.Error()
		}
		return json.RawMessage(strings.NewReplacer("${", "$${", "%{", "%%{").Replace(string(text)))
	}
	text := string(expr.Range().SliceBytes(src))
	if name == "type" {
		return text
	}
	return "${" + text + "}"
}

// schemaDoc is the schema as a validator reads it: no more than the words that
// JSONSchema writes.
type schemaDoc struct{ root, defs map[string]any }

func readSchema(t *testing.T) schemaDoc {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(JSONSchema(), &root); err != nil {
		t.Fatal(err)
	}
	return schemaDoc{root: root, defs: root["$defs"].(map[string]any)}
}

// check tells what is wrong with a value at a path.
func (d schemaDoc) check(schema map[string]any, value any, path string) (wrong []string) {
	if ref, is := schema["$ref"].(string); is {
		return d.check(d.defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any), value, path)
	}
	if condition, is := schema["if"].(map[string]any); is {
		branch := "else"
		if len(d.check(condition, value, path)) == 0 {
			branch = "then"
		}
		return d.check(schema[branch].(map[string]any), value, path)
	}
	if forms, is := schema["anyOf"].([]any); is {
		var all []string
		for _, f := range forms {
			not := d.check(f.(map[string]any), value, path)
			if len(not) == 0 {
				return nil
			}
			all = append(all, not...)
		}
		return all
	}
	if !hasType(schema["type"], value) {
		return []string{fmt.Sprintf("%s is not of type %v", path, schema["type"])}
	}
	if words, is := schema["enum"].([]any); is && !slices.Contains(words, value) {
		return []string{fmt.Sprintf("%s is not one of %v", path, words)}
	}
	switch v := value.(type) {
	case string:
		if p, is := schema["pattern"].(string); is && !regexp.MustCompile(p).MatchString(v) {
			wrong = append(wrong, fmt.Sprintf("%s: %q does not match %s", path, v, p))
		}
	case float64:
		least, hasLeast := schema["minimum"].(float64)
		most, hasMost := schema["maximum"].(float64)
		if hasLeast && v < least || hasMost && v > most {
			wrong = append(wrong, fmt.Sprintf("%s: %v is not from %v to %v", path, v, least, most))
		}
	case []any:
		items, _ := schema["items"].(map[string]any)
		for i, entry := range v {
			wrong = append(wrong, d.check(items, entry, fmt.Sprintf("%s[%d]", path, i))...)
		}
	case map[string]any:
		wrong = append(wrong, d.checkObject(schema, v, path)...)
	}
	return wrong
}

func (d schemaDoc) checkObject(schema, object map[string]any, path string) (wrong []string) {
	properties, _ := schema["properties"].(map[string]any)
	names, _ := schema["propertyNames"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, has := object[name.(string)]; !has {
			wrong = append(wrong, fmt.Sprintf("%s lacks %v", path, name))
		}
	}
	for name, value := range object {
		at := path + "." + name
		if names != nil {
			wrong = append(wrong, d.check(names, name, at)...)
		}
		if p, known := properties[name]; known {
			wrong = append(wrong, d.check(p.(map[string]any), value, at)...)
			continue
		}
		switch more := schema["additionalProperties"].(type) {
		case bool:
			if !more {
				wrong = append(wrong, at+" is unknown")
			}
		case map[string]any:
			wrong = append(wrong, d.check(more, value, at)...)
		}
	}
	return wrong
}

func hasType(want, value any) bool {
	if several, is := want.([]any); is {
		return slices.ContainsFunc(several, func(one any) bool { return hasType(one, value) })
	}
	switch v := value.(type) {
	case string:
		return want == nil || want == "string"
	case float64:
		return want == nil || want == "number" || want == "integer" && v == math.Trunc(v)
	case bool:
		return want == nil || want == "boolean"
	case []any:
		return want == nil || want == "array"
	case map[string]any:
		return want == nil || want == "object"
	default:
		return want == nil
	}
}
