package spec

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// constraint holds this nixmesh against fleet.nixmesh (NM0008).
func (d *decoder) constraint(a *attr, text string) {
	rng := a.expr.Range()
	met, err := satisfies(d.version, text)
	switch {
	case err != nil:
		d.add(problem{code: "NM0105", rng: rng, block: a.title, detail: fmt.Sprintf("%q is not a version constraint.", text),
			hint: `for example nixmesh = "0.x", "0.3.x" or ">= 0.3, < 0.5"`})
	case !met:
		d.add(problem{code: "NM0008", rng: rng, block: a.title, detail: fmt.Sprintf("The fleet wants nixmesh %s, and this is %s.", text, d.version),
			hint: "use a nixmesh that the fleet wants, or change the constraint"})
	}
}

// satisfies tells whether a version meets every comma-separated part of a
// constraint. A version that is no number ("", "dev") meets all.
func satisfies(version, constraint string) (bool, error) {
	have := regexp.MustCompile(`^v?(\d+)\.(\d+)\.(\d+)`).FindStringSubmatch(version)
	met := true
	for part := range strings.SplitSeq(constraint, ",") {
		m := regexp.MustCompile(`^\s*(>=|<=|>|<|=|)\s*(\d{1,6})(?:\.(\d{1,6}|x))?(?:\.(\d{1,6}|x))?\s*$`).FindStringSubmatch(part)
		if m == nil || (m[3] == "x" && m[4] != "" && m[4] != "x") {
			return false, fmt.Errorf("read constraint %q", part)
		}
		if have == nil {
			continue
		}
		order, prefix := 0, true
		for i, want := range []string{m[2], m[3], m[4]} {
			if want == "" || want == "x" {
				break
			}
			if order == 0 {
				order = cmp.Compare(number(have[i+1]), number(want))
			}
			prefix = prefix && order == 0
		}
		switch m[1] {
		case ">=":
			met = met && order >= 0
		case "<=":
			met = met && order <= 0
		case ">":
			met = met && order > 0
		case "<":
			met = met && order < 0
		default:
			met = met && prefix
		}
	}
	return met, nil
}

func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return int(^uint(0) >> 1)
	}
	return n
}
