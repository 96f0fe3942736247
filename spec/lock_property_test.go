package spec

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawFleet draws a fleet of few names, so that two of them have much in common:
// things are added, removed, renamed, reordered from one to the next.
func drawFleet(t *rapid.T) *Fleet {
	names := []string{"api", "auth", "billing", "cron", "db", "web"}
	f := &Fleet{}
	for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(t, "services") {
		s := &Service{Name: name, Package: &Package{Attr: name}, Instances: rapid.IntRange(1, 3).Draw(t, "instances")}
		if rapid.Bool().Draw(t, "unit") {
			s.Package, s.Unit, s.User = nil, name+".service", rapid.SampledFrom([]string{"", "postgres", "www"}).Draw(t, "user")
		}
		for _, version := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"v1", "v2", "next"}), 0, 3, rapid.ID).Draw(t, "versions") {
			v := &Version{Name: version, Package: s.Package, Unit: s.Unit}
			if rapid.IntRange(0, 3).Draw(t, "own port") == 0 {
				v.Port = 8080
			}
			s.Versions = append(s.Versions, v)
		}
		for _, listen := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"", "admin", "main"}), 0, 2, rapid.ID).Draw(t, "listens") {
			s.Listens = append(s.Listens, &Listen{Protocol: "http", Name: listen, Port: rapid.SampledFrom([]int{0, 0, 5432}).Draw(t, "port")})
		}
		for _, up := range rapid.SliceOfNDistinct(rapid.SampledFrom(append(names, "stripe", "mail")), 0, 3, rapid.ID).Draw(t, "upstreams") {
			s.Upstreams = append(s.Upstreams, &Upstream{Name: up})
		}
		f.Services = append(f.Services, s)
	}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"stripe", "mail"}), 0, 2, rapid.ID).Draw(t, "externals") {
		f.Externals = append(f.Externals, &External{Name: name})
	}
	return f
}

// Whatever is added, removed, renamed or reordered, every name keeps its number
// for ever, no number is given twice, what is not needed is gone, and the text
// reads back to the same lock.
func TestLockProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, given := mustParseLock(t, nil), map[lockName]int{}
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			f := drawFleet(t)
			if _, d := l.Allocate(f); len(d) > 0 {
				t.Fatal(d)
			}
			needed := map[lockName]bool{}
			for _, w := range wants(f) {
				needed[w.lockName] = true
				if l.number(w.kind, w.name) == 0 {
					t.Fatalf("%s has no number", w.lockName)
				}
			}
			seen := map[string]lockName{}
			for _, e := range l.entries {
				if n, known := given[e.lockName]; known && n != e.number {
					t.Fatalf("%s was %d and is %d", e.lockName, n, e.number)
				}
				given[e.lockName] = e.number
				key := fmt.Sprint(e.kind, e.number)
				if other, twice := seen[key]; twice {
					t.Fatalf("%s and %s have %d", e.lockName, other, e.number)
				}
				seen[key] = e.lockName
				if needed[e.lockName] == e.gone {
					t.Fatalf("%s: gone = %v", e.lockName, e.gone)
				}
			}
			if len(given) != len(l.entries) {
				t.Fatal("an entry was lost")
			}
			text := l.Bytes()
			l = mustParseLock(t, text)
			if !bytes.Equal(l.Bytes(), text) || l.untidy {
				t.Fatalf("does not read back: %s", text)
			}
			f.Services = rapid.Permutation(f.Services).Draw(t, "reordered")
			if changed, _ := l.Allocate(f); changed || l.Stale(f) != nil {
				t.Fatal("the order of services changed the lock")
			}
		}
	})
}

// Two branches allocate by themselves, and their locks are merged line by line,
// as merge=union does it: what comes out reads, or each command that its
// diagnostics name changes that entry only, until it does.
func TestLockMerges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := mustParseLock(t, nil)
		base.Allocate(drawFleet(t))
		branch := func(name string) []string {
			l := mustParseLock(t, base.Bytes())
			f := drawFleet(t)
			l.Allocate(f)
			if rapid.Bool().Draw(t, name+" prunes") {
				l.Prune()
			}
			return strings.Split(strings.TrimSpace(string(l.Bytes())), "\n")[1:]
		}
		ours, theirs := branch("ours"), branch("theirs")
		var merged []string
		for _, line := range append(ours, theirs...) {
			inBoth := slices.Contains(ours, line) && slices.Contains(theirs, line)
			if inBoth && slices.Contains(merged, line) {
				continue
			}
			inBase := strings.Contains(string(base.Bytes()), "\n"+line+"\n")
			if inBoth || !inBase || rapid.Bool().Draw(t, "in a conflict") {
				merged = append(merged, line)
			}
		}
		text := []byte(lockHeader + "\n" + strings.Join(append(merged, ""), "\n"))
		for range len(merged) + 1 {
			_, found := parseLock(text)
			if len(found) == 0 {
				return
			}
			d := found[0]
			name := renumberOf(d)
			if d.Code != "NM0702" && d.Code != "NM0703" || name == "" {
				t.Fatalf("no command in %+v", d)
			}
			l, other, err := renumber(text, name)
			if err != nil || len(other) > 0 {
				t.Fatalf("%s: %v, %v\n%s", name, other, err, text)
			}
			if others(l.Bytes(), name) != others(text, name) {
				t.Fatalf("--renumber %q changed others:\n%s\n%s", name, text, l.Bytes())
			}
			text = l.Bytes()
		}
		t.Fatalf("still not mended:\n%s", text)
	})
}

// others are the lines that are not of one name, sorted.
func others(text []byte, name string) string {
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(text)), "\n"), func(line string) bool {
		return strings.HasPrefix(strings.TrimPrefix(line, "gone "), name+" ")
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
