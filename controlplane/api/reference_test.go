package api

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/agentapi"
)

// TestReferencePages holds the pages about the agent's socket to the code.
func TestReferencePages(t *testing.T) {
	dir := filepath.Join("..", "..", "docs", "reference")
	compare(t, filepath.Join(dir, "metrics.md"), MetricsReference())
	compare(t, filepath.Join(dir, "agent-api.md"), apiReference(t))
}

// apiReference is docs/reference/agent-api.md: the routes, and the types that
// they give and take with the comments of their source.
func apiReference(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`# The agent's local API

The agent of a host answers on the Unix socket ` + "`" + agentapi.Socket + "`" + `, in HTTP/1.1 with
JSON. ` + "`nixmesh mesh`" + ` and ` + "`nixmesh status`" + ` ask it over SSH; on the host itself:

` + "```\ncurl --unix-socket " + agentapi.Socket + " http://agent" + agentapi.PathStatus + "\n```" + `

Who can open the socket may read: root, and the group ` + "`nixmesh`" + `, which the deploy user is a
member of. A ` + "`PUT`" + ` is for root and for members of that group, by the credentials that the
kernel has of the process, and is logged with them. Fields are added, never renamed: pass
over those that you do not know.

Generated from the agent's code: ` + "`go test ./controlplane/api -run TestReferencePages -update`" + `.

## Requests

| request | body, at most | answer | |
|---|---|---|---|
`)
	for _, r := range routes() {
		body := ""
		if r.most > 0 {
			body = fmt.Sprintf("%s, %s", r.takes, size(r.most))
		}
		gives := r.gives
		if gives != "" && gives[0] >= 'A' && gives[0] <= 'Z' {
			gives = fmt.Sprintf("[%s](#%s)", gives, strings.ToLower(gives))
		}
		fmt.Fprintf(&b, "| `%s %s` | %s | %s | %s |\n", r.method, r.path, body, gives, r.doc)
	}
	b.WriteString(`
What is not answered so comes with an [Error](#error) and one of these: 400 and 413 the body is not
right or too large, 403 the caller may not write, 404 there is no such thing, 405 not with this
method, 409 it was refused, 500 the agent has a bug, 503 not now.
`)
	types := sources(t)
	told := map[string]bool{}
	for _, v := range []any{agentapi.Status{}, agentapi.Certs{}, agentapi.Endpoints{}, agentapi.Dump{}, agentapi.Event{}, agentapi.Applied{}, agentapi.AuthorityRequest{}, agentapi.Drain{}, agentapi.Ready{}, agentapi.Error{}} {
		tell(t, &b, types, told, reflect.TypeOf(v))
	}
	return b.String()
}

func size(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// described is a type of agentapi as its source has it.
type described struct {
	doc    string
	fields map[string]string // the comment of each
}

// sources reads the comments of agentapi's types.
func sources(t *testing.T) map[string]described {
	t.Helper()
	files, err := filepath.Glob("../../agentapi/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no source of agentapi", err)
	}
	types := map[string]described{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range g.Specs {
				ts, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				if st, ok := ts.Type.(*ast.StructType); ok {
					types[ts.Name.Name] = described{oneLine(g.Doc.Text()), fields(st)}
				}
			}
		}
	}
	return types
}

// fields are the comments of a struct's fields. One above a field is about
// those that follow it without an empty line, and stands at the first.
func fields(st *ast.StructType) map[string]string {
	comments := map[string]string{}
	for _, f := range st.Fields.List {
		text := oneLine(f.Doc.Text() + " " + f.Comment.Text())
		for i, name := range f.Names {
			comments[name.Name] = text
			if i > 0 {
				comments[name.Name] = ""
			}
		}
	}
	return comments
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// tell describes a type and those in it, each once.
func tell(t *testing.T, b *strings.Builder, types map[string]described, told map[string]bool, typ reflect.Type) {
	t.Helper()
	if told[typ.Name()] {
		return
	}
	told[typ.Name()] = true
	d, ok := types[typ.Name()]
	if !ok {
		t.Fatalf("no source of %s", typ)
	}
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n| field | type | meaning |\n|---|---|---|\n", typ.Name(), d.doc)
	var inner []reflect.Type
	for f := range typ.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		kind, of := jsonType(f.Type)
		if strings.Contains(options, "omit") {
			kind += ", optional"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, kind, strings.ReplaceAll(d.fields[f.Name], "|", `\|`))
		if of != nil && !slices.Contains(inner, of) {
			inner = append(inner, of)
		}
	}
	for _, of := range inner {
		tell(t, b, types, told, of)
	}
}

// jsonType is how a field is written, and the type of agentapi in it, if any.
func jsonType(typ reflect.Type) (string, reflect.Type) {
	if typ == reflect.TypeFor[json.RawMessage]() {
		return "JSON", nil
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return jsonType(typ.Elem())
	case reflect.Slice:
		of, inner := jsonType(typ.Elem())
		return "list of " + of, inner
	case reflect.Array:
		of, inner := jsonType(typ.Elem())
		return fmt.Sprintf("%d of %s", typ.Len(), of), inner
	case reflect.Struct:
		if typ.Name() == "Time" {
			return "time (RFC 3339)", nil
		}
		return fmt.Sprintf("[%s](#%s)", typ.Name(), strings.ToLower(typ.Name())), typ
	case reflect.Bool:
		return "boolean", nil
	case reflect.String:
		return "text", nil
	}
	return "number", nil
}
