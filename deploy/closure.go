package deploy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/nixmesh/nixmesh/remote"
)

// PackageChange is a package whose versions differ between two closures.
type PackageChange struct {
	Name string   `json:"name"`
	Old  []string `json:"old,omitempty"`
	New  []string `json:"new,omitempty"`
}

// nixFlags turn on what nix commands need, whatever nix.conf says.
const nixFlags = "--extra-experimental-features 'nix-command flakes'"

// readClosure lists a closure with the size of each path.
func readClosure(ctx context.Context, sh shell, toplevel string) ([]PathSize, error) {
	out, err := sh(ctx, "nix "+nixFlags+" path-info -r -s "+remote.Quote(toplevel))
	if err != nil {
		return nil, fmt.Errorf("read closure of %s: %w", toplevel, err)
	}
	var paths []PathSize
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || !strings.HasPrefix(fields[0], "/nix/store/") {
			continue
		}
		size, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read closure of %s: size %q", toplevel, fields[1])
		}
		paths = append(paths, PathSize{Path: fields[0], Size: size})
	}
	return paths, lines.Err()
}

// diffClosures compares two closures by package name and version. added is what
// new has and old does not, in bytes; delta is the change of the whole size.
func diffClosures(old, new []PathSize) (changes []PackageChange, added, delta int64) {
	had := map[string]bool{}
	for _, p := range old {
		had[p.Path] = true
		delta -= p.Size
	}
	for _, p := range new {
		delta += p.Size
		if !had[p.Path] {
			added += p.Size
		}
	}
	before, after := versions(old), versions(new)
	names := map[string]bool{}
	for n := range before {
		names[n] = true
	}
	for n := range after {
		names[n] = true
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		if !slices.Equal(before[n], after[n]) {
			changes = append(changes, PackageChange{Name: n, Old: before[n], New: after[n]})
		}
	}
	return changes, added, delta
}

// versions groups a closure's paths: package name -> its versions. Paths
// without a version (units, configuration files) are no packages.
func versions(paths []PathSize) map[string][]string {
	all := map[string][]string{}
	for _, p := range paths {
		name, version := splitName(p.Path)
		if version == "" || strings.HasPrefix(name, "nixos-system-") {
			continue
		}
		if !slices.Contains(all[name], version) {
			all[name] = append(all[name], version)
		}
	}
	for _, v := range all {
		slices.Sort(v)
	}
	return all
}

// splitName splits /nix/store/HASH-shop-api-1.8.2 as Nix does: the version
// begins after the first dash that a digit follows. Output suffixes stay with
// the version and are cut there.
func splitName(storePath string) (name, version string) {
	base := path.Base(storePath)
	if len(base) > 33 && base[32] == '-' {
		base = base[33:]
	}
	for i := 0; i+1 < len(base); i++ {
		if base[i] == '-' && base[i+1] >= '0' && base[i+1] <= '9' {
			version = base[i+1:]
			for _, out := range []string{"-bin", "-dev", "-lib", "-man", "-doc", "-out", "-info", "-data"} {
				version = strings.TrimSuffix(version, out)
			}
			return base[:i], version
		}
	}
	return base, ""
}
