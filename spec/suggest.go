package spec

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agext/levenshtein"
)

// maxCompared is the most names that a mistyped one is compared with.
const maxCompared = 5000

// nearest is the known name that was probably meant, or "": fewer than three
// edits away, and fewer than the name has letters; else the only one that begins
// with the name, or that the name begins with.
func nearest(name string, known []string) string {
	if len(name) > 64 || len(known) > maxCompared { // nothing of ours is that long, and the distance costs its length
		return ""
	}
	best, bestDistance := "", 3
	length := utf8.RuneCountInString(name)
	for _, k := range known {
		if more := utf8.RuneCountInString(k) - length; more > 2 || more < -2 {
			continue
		}
		d := levenshtein.Distance(name, k, nil)
		if d == 2 && sameLetters(name, k) {
			d = 1 // two letters changed places: "prot"
		}
		if (d < bestDistance || d == bestDistance && k < best) && d < len(name) {
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

func sameLetters(a, b string) bool {
	return slices.Equal(slices.Sorted(slices.Values([]byte(a))), slices.Sorted(slices.Values([]byte(b))))
}

// maxListed is the most names that a hint lists.
const maxListed = 200

// didYouMean is the hint for an unknown name: the nearest, else all known ones.
func didYouMean(name string, known []string, listed string) string {
	if n := nearest(name, known); n != "" {
		return `did you mean "` + n + `"?`
	}
	if len(known) == 0 {
		return ""
	}
	if len(known) > maxListed {
		return fmt.Sprintf("none of the %d is near it", len(known))
	}
	return listed + ": " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
}
