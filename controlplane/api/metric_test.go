package api

import (
	"bufio"
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write goldens and pages")

// What a machine that scrapes gets, of all groups.
func TestMetrics(t *testing.T) {
	_, socket := serve(t, &agent{}, nil)
	text, err := client(t, socket).Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)*\})? (-?[0-9.e+]+|NaN)$`)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), "# ") && !line.MatchString(lines.Text()) {
			t.Errorf("Prometheus does not read %q", lines.Text())
		}
	}
	// What differs from run to run.
	text = regexp.MustCompile(`(?m)^(nixmesh_agent_(memory_bytes|goroutines)) .*$`).ReplaceAll(text, []byte("$1 N"))
	compare(t, filepath.Join("testdata", "metrics.golden"), string(text))
}

// compare holds a text to a file; -update writes it.
func compare(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s is not what the code says: go test ./controlplane/api -update\ngot\n%s\nwant\n%s", file, text, want)
	}
}

func TestRender(t *testing.T) {
	got := string(render([]Metric{
		{certificateExpiry, []Label{{"kind", "leaf"}, {"name", "a\"b\\c\nd\xff"}}, 1.5e9},
		{Name: GossipMembers, Value: math.NaN()},
		{Name: "nobody_knows", Value: 1},
	}))
	want := `# HELP nixmesh_certificate_expiry_time_seconds When a certificate of this host ends, in seconds since 1970; kind is leaf, authority or root.
# TYPE nixmesh_certificate_expiry_time_seconds gauge
nixmesh_certificate_expiry_time_seconds{kind="leaf",name="a\"b\\c\nd` + "\uFFFD" + `"} 1.5e+09
# HELP nixmesh_gossip_members Members that take part, this host included.
# TYPE nixmesh_gossip_members gauge
nixmesh_gossip_members NaN
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Names are stable: each is once in the table, in the form that Prometheus asks
// for, and says what it means.
func TestFamilies(t *testing.T) {
	seen := map[Name]bool{}
	for _, f := range Families() {
		if seen[f.Name] {
			t.Errorf("%s is there twice", f.Name)
		}
		seen[f.Name] = true
		if !regexp.MustCompile(`^nixmesh_[a-z_]+$`).MatchString(string(f.Name)) || strings.HasSuffix(string(f.Name), "_total") != (f.Kind == Counter) {
			t.Errorf("%s is no good name of a %s", f.Name, f.Kind)
		}
		if !strings.HasSuffix(f.Help, ".") || f.Group == "" || strings.Contains(f.Help, "|") {
			t.Errorf("%s: %q in %q", f.Name, f.Help, f.Group)
		}
	}
}
