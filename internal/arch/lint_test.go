package arch

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestLinterKnowsTheDoors holds depguard's rules, which an editor shows, to doors.
func TestLinterKnowsTheDoors(t *testing.T) {
	text, err := os.ReadFile("../../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	rule := regexp.MustCompile(`(?m)^        \w+:\n          files: \[(.*)\]\n          deny:\n((?:            - pkg: .*\n              desc: .*\n)+)`)
	pkg := regexp.MustCompile(`- pkg: (\S+)`)
	allowed := map[string][]string{} // package -> patterns of files
	for _, m := range rule.FindAllStringSubmatch(string(text), -1) {
		files := strings.Split(strings.ReplaceAll(m[1], `"`, ""), ", ")
		slices.Sort(files)
		for _, p := range pkg.FindAllStringSubmatch(m[2], -1) {
			allowed[p[1]] = files
		}
	}
	for door, packages := range doors {
		var files []string
		for _, p := range packages {
			// A folder stands for those below it.
			if !slices.ContainsFunc(packages, func(o string) bool { return strings.HasPrefix(p, o+"/") }) {
				files = append(files, "!**/"+p+"/**")
			}
		}
		slices.Sort(files)
		found := false
		for p, have := range allowed {
			if p != door && !strings.HasPrefix(door, p+"/") {
				continue
			}
			found = true
			if !slices.Equal(have, files) {
				t.Errorf(".golangci.yml lets %v import %s, and the door is %v", have, p, files)
			}
			delete(allowed, p)
		}
		if !found {
			t.Errorf(".golangci.yml has no rule of depguard for %s", door)
		}
	}
	for p := range allowed {
		t.Errorf(".golangci.yml has a rule of depguard for %s, which is no door", p)
	}
}
