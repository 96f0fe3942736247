package spec

import (
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// nearest is the known name that was probably meant, or "": fewer than three
// edits away, and fewer than the name has letters; else the only one that begins
// with the name, or that the name begins with.
func nearest(name string, known []string) string {
	if len(name) > 64 { // nothing of ours is that long, and the distance costs its length
		return ""
	}
	best, bestDistance := "", 3
	known = slices.Sorted(slices.Values(known))
	for _, k := range known {
		d := levenshtein.Distance(name, k, nil)
		if d < bestDistance && d < len(name) {
			best, bestDistance = k, d
		}
	}
	if best != "" || len(name) < 3 {
		return best
	}
	for _, k := range known {
		if strings.HasPrefix(name, k) && len(k) > 3 || strings.HasPrefix(k, name) {
			if best != "" {
				return "" // "revert" is the start of two
			}
			best = k
		}
	}
	return best
}

// didYouMean is the hint for an unknown name: the nearest, else all known ones.
func didYouMean(name string, known []string, listed string) string {
	if n := nearest(name, known); n != "" {
		return `did you mean "` + n + `"?`
	}
	if len(known) == 0 {
		return ""
	}
	return listed + ": " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
}
