// Package arch holds no code: its test holds the project to its import rules
// and to one package comment per package.
package arch

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/nixmesh/nixmesh"

// doors names the only packages that may import a heavy dependency.
var doors = map[string][]string{
	"github.com/hashicorp/hcl/v2":     {"spec"},
	"github.com/zclconf/go-cty":       {"spec"},
	"golang.org/x/crypto/ssh":         {"remote", "trust", "internal/testkit"},
	"github.com/skeema/knownhosts":    {"remote"},
	"github.com/coreos/go-systemd":    {"rollback"},
	"github.com/godbus/dbus":          {"rollback"},
	"github.com/spf13/cobra":          {"cmd/nixmesh"},
	"github.com/hashicorp/memberlist": {"controlplane/gossip"},
	"github.com/envoyproxy":           {"controlplane/xds", "controlplane/xds/delta"},
	"github.com/cncf/xds":             {"controlplane/xds"},
	"google.golang.org/grpc":          {"controlplane/xds/delta", "lab/services/echo"},
	"google.golang.org/protobuf":      {"controlplane/xds", "controlplane/xds/delta", "lab/services/echo"},
	"filippo.io/age":                  {"trust"},
	"github.com/jackc/pgx":            {"lab/services/api", "lab/services/worker"},
	"github.com/redis/go-redis":       {"lab/services/api", "lab/services/web"},
	"github.com/coder/websocket":      {"lab/services/echo"},
}

// mayImport is the project's own import graph: package -> what of the project
// it may import directly. A package that is missing here may be imported by
// nothing and imports nothing until it is added.
var mayImport = map[string][]string{
	"calendar":         {},
	"selector":         {},
	"hostfacts":        {},
	"modules":          {},
	"trust":            {},
	"remote":           {},
	"nix":              {},
	"lab":              {},
	"internal/term":    {},
	"internal/arch":    {},
	"internal/refusal": {},
	"spec":             {"calendar", "selector", "trust"},
	"mesh":             {},
	"compile":          {"spec", "hostfacts", "modules", "selector", "mesh"},
	"rollback":         {"hostfacts"},
	"unseal":           {"hostfacts", "trust"},
	"guard":            {},
	"internal/testkit": {"remote", "trust", "hostfacts", "rollback"},
	"deploy":           {"compile", "spec", "mesh", "nix", "remote", "rollback", "trust", "hostfacts", "selector", "internal/term", "agentapi"},
	"cmd/nixmesh":      {"*"},

	"agentapi":                   {},
	"controlplane":               {"mesh", "trust", "agentapi", "hostfacts", "controlplane/catalog", "controlplane/gossip", "controlplane/sync", "controlplane/health", "controlplane/ca", "controlplane/api", "controlplane/xds", "controlplane/xds/delta", "guard"},
	"controlplane/xds":           {"controlplane/catalog", "hostfacts", "mesh"},
	"controlplane/xds/delta":     {"controlplane/xds"},
	"controlplane/catalog":       {"mesh"},
	"controlplane/gossip":        {"internal/refusal"},
	"controlplane/sync":          {"controlplane/catalog", "trust", "internal/refusal"},
	"controlplane/health":        {"hostfacts"},
	"controlplane/ca":            {"mesh", "trust", "hostfacts"},
	"controlplane/api":           {"agentapi"},
	"bench/change":               {"agentapi", "controlplane/catalog", "lab", "trust"},
	"bench/benchlab":             {"agentapi", "internal/testkit/labuser", "lab", "mesh", "trust"},
	"bench/flip":                 {"agentapi", "bench/benchlab", "lab"},
	"bench/permission":           {"agentapi", "bench/benchlab", "internal/testkit/labuser", "mesh"},
	"bench/split":                {"agentapi", "bench/benchlab", "mesh"},
	"bench/hops":                 {"bench/benchlab", "internal/testkit/labuser", "lab"},
	"internal/testkit/leaks":     {},
	"internal/testkit/memnet":    {},
	"internal/testkit/envoytest": {"lab"},
	"internal/testkit/labuser":   {},
	"internal/testkit/plainwire": {"trust"},
}

type pkg struct {
	ImportPath   string
	Dir          string
	Imports      []string
	TestImports  []string
	XTestImports []string
	GoFiles      []string
	TestGoFiles  []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		all = append(all, p)
	}
}

func TestImportsGoOneWay(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		for _, imp := range p.Imports {
			for dep, allowed := range doors {
				if (imp == dep || strings.HasPrefix(imp, dep+"/")) && !slices.Contains(allowed, name) {
					t.Errorf("%s imports %s: its one door is %s", name, imp, strings.Join(allowed, ", "))
				}
			}
		}
		if strings.HasPrefix(name, "lab/") { // demo services and lab tests: programs of their own
			continue
		}
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("%s is a new package: give it its place in mayImport and in ARCHITECTURE.md", name)
			continue
		}
		for _, imp := range p.Imports {
			own, ok := strings.CutPrefix(imp, module+"/")
			if ok && !slices.Contains(allowed, own) && !slices.Contains(allowed, "*") {
				t.Errorf("%s imports %s: allowed are %v", name, own, allowed)
			}
		}
	}
}

func TestOnePackageComment(t *testing.T) {
	for _, p := range packages(t) {
		var with []string
		for _, f := range slices.Concat(p.GoFiles, p.TestGoFiles) {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil && !isDirective(file.Doc) {
				with = append(with, f)
			}
		}
		if len(with) != 1 {
			t.Errorf("%s has %d package comments %v, want exactly one", p.ImportPath, len(with), with)
		}
	}
}

func isDirective(doc *ast.CommentGroup) bool {
	return strings.TrimSpace(doc.Text()) == ""
}

func TestNoInitFunctions(t *testing.T) {
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == ".nixmesh" || d.Name() == "bin") {
			return fs.SkipDir
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
