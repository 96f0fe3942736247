package nix

import (
	"context"
	"slices"
	"sort"
	"strings"
)

// PackageChange is one package of two closures, by name.
type PackageChange struct {
	Name   string
	Before []string // versions, "" = a path without version; none = not there
	After  []string
	Bytes  int64 // growth of its NAR size
}

// DiffClosures compares the closures of two paths of the local store.
func (t *Tool) DiffClosures(ctx context.Context, before, after string) ([]PackageChange, error) {
	a, err := t.Closure(ctx, Store{}, before)
	if err != nil {
		return nil, err
	}
	b, err := t.Closure(ctx, Store{}, after)
	if err != nil {
		return nil, err
	}
	return Diff(a, b), nil
}

// Diff groups two closures by package name and returns the packages whose
// versions differ, sorted by name.
func Diff(before, after []PathInfo) []PackageChange {
	type side struct {
		versions []string
		bytes    int64
	}
	group := func(infos []PathInfo) map[string]side {
		m := map[string]side{}
		for _, i := range infos {
			name, version := splitName(i.Name())
			s := m[name]
			if !slices.Contains(s.versions, version) {
				s.versions = append(s.versions, version)
			}
			s.bytes += i.NarSize
			m[name] = s
		}
		return m
	}
	a, b := group(before), group(after)
	names := map[string]bool{}
	for n := range a {
		names[n] = true
	}
	for n := range b {
		names[n] = true
	}
	var changes []PackageChange
	for n := range names {
		x, y := a[n], b[n]
		sort.Strings(x.versions)
		sort.Strings(y.versions)
		if !slices.Equal(x.versions, y.versions) {
			changes = append(changes, PackageChange{Name: n, Before: x.versions, After: y.versions, Bytes: y.bytes - x.bytes})
		}
	}
	sort.Slice(changes, func(i, j int) bool { return changes[i].Name < changes[j].Name })
	return changes
}

// splitName splits at the first dash that a digit follows, as Nix's
// builtins.parseDrvName does; an output's name stays with the version.
func splitName(name string) (string, string) {
	for i := 0; i+1 < len(name); i++ {
		if name[i] == '-' && name[i+1] >= '0' && name[i+1] <= '9' {
			return name[:i], name[i+1:]
		}
	}
	for _, out := range []string{"-bin", "-lib", "-dev", "-man", "-doc"} {
		if n, ok := strings.CutSuffix(name, out); ok {
			return n, strings.TrimPrefix(out, "-")
		}
	}
	return name, ""
}
