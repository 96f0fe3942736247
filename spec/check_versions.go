package spec

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// checkSplit holds the shares of a service's versions (NM0308, NM0309).
func (d *decoder) checkSplit(s *Service, b *block) {
	if b.refused["version"] {
		return
	}
	if len(s.Versions) == 0 {
		d.checkNoVersions(b)
		return
	}
	if d.knownShares(s, b) {
		d.checkSum(s, b)
		d.checkParked(s, b)
	}
}

// checkNoVersions refuses what is between versions, where there are none.
func (d *decoder) checkNoVersions(b *block) {
	for _, name := range []string{"split", "sticky"} {
		if b.has(name) {
			d.add(problem{code: "NM0308", rng: b.attrs[name].key, block: b.title, detail: fmt.Sprintf("%s is between versions, and the service has none.", name),
				hint: `add version "v1" { … } and version "v2" { … }, or delete it`})
		}
	}
}

// knownShares refuses shares of versions that do not exist. It is false, too, if
// the split could not be read at all.
func (d *decoder) knownShares(s *Service, b *block) bool {
	if b.refused["split"] {
		return false
	}
	written := d.ownNames(b, "split")
	var names []string
	for _, v := range s.Versions {
		names = append(names, v.Name)
	}
	ok := s.Split != nil
	for _, name := range slices.Sorted(maps.Keys(written)) {
		if !slices.Contains(names, name) {
			ok = false
			d.add(problem{code: "NM0308", rng: written[name], block: b.title, detail: fmt.Sprintf("The service has no version %q.", name),
				hint: nearestLeft(name, names, written)})
		}
	}
	return ok
}

// nearestLeft is didYouMean for a version in a split, among those that have no
// share there.
func nearestLeft(name string, versions []string, written map[string]hcl.Range) string {
	left := slices.DeleteFunc(slices.Clone(versions), func(v string) bool { _, has := written[v]; return has })
	if near := nearest(name, left); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "the versions are: " + strings.Join(slices.Sorted(slices.Values(versions)), ", ")
}

func (d *decoder) checkSum(s *Service, b *block) {
	if !b.has("split") {
		return
	}
	var shares []share
	for _, name := range slices.Sorted(maps.Keys(s.Split)) {
		shares = append(shares, share{name, s.Split[name]})
	}
	d.checkShareSum(shares, b)
}

// share is one part of a split.
type share struct {
	name    string
	percent float64
}

// checkShareSum holds that the shares of a split are everything (NM0308).
func (d *decoder) checkShareSum(shares []share, b *block) {
	sum := 0.0
	for _, s := range shares {
		sum += s.percent
	}
	if math.Abs(sum-100) > 1e-6 {
		d.add(problem{code: "NM0308", rng: b.attrs["split"].expr.Range(), block: b.title, detail: fmt.Sprintf("The shares add up to %g, not to 100.", exactShare(sum)),
			hint: sumHint(shares, sum)})
	}
}

// sumHint says how the largest share would make the sum right.
func sumHint(shares []share, sum float64) string {
	if len(shares) == 0 {
		return "give each version its share; what is left out gets 0"
	}
	largest := slices.MaxFunc(shares, func(a, b share) int { return cmp.Compare(a.percent, b.percent) })
	percent := exactShare(largest.percent + 100 - sum)
	name := largest.name
	if !hclsyntax.ValidIdentifier(name) {
		name = strconv.Quote(name)
	}
	switch {
	case percent < 0:
		return "what is left out gets 0"
	case sum > 100:
		return fmt.Sprintf("take %g away, for example %s = %g; what is left out gets 0", exactShare(sum-100), name, percent)
	default:
		return fmt.Sprintf("%g are missing, for example %s = %g; what is left out gets 0", exactShare(100-sum), name, percent)
	}
}

// exactShare is a percentage without what adding has made inexact.
func exactShare(v float64) float64 { return math.Round(v*1e6) / 1e6 }

// checkParked refuses a share of a version that runs nowhere (NM0309).
func (d *decoder) checkParked(s *Service, b *block) {
	for i, vb := range b.all("version") {
		v := s.Versions[i]
		if s.Split[v.Name] == 0 || !vb.has("on") || !parked(d, vb) {
			continue
		}
		p := problem{code: "NM0309", rng: vb.attrs["on"].expr.Range(), block: b.title,
			detail: fmt.Sprintf("Version %q runs on no host and gets %g%% of the calls.", v.Name, s.Split[v.Name]),
			hint:   "name hosts in its on, or give its share to another version"}
		if !b.has("split") {
			p.detail = fmt.Sprintf("Version %q runs on no host, and without split the first version gets all calls.", v.Name)
			p.hint = "name hosts in its on, or write a split"
		}
		d.add(p)
	}
}

// checkVersionHosts holds that versions stay on the hosts of their service (NM0307).
func (d *decoder) checkVersionHosts(s *Service, b *block) {
	if len(s.On) == 0 {
		return
	}
	for i, vb := range b.all("version") {
		var outside []string
		for _, host := range s.Versions[i].On {
			if _, within := slices.BinarySearch(s.On, host); !within {
				outside = append(outside, host)
			}
		}
		if outside != nil {
			d.add(problem{code: "NM0307", rng: vb.attrs["on"].expr.Range(), block: b.title,
				detail: fmt.Sprintf("Version %q is to run on %s, and the service is not.", vb.label, strings.Join(outside, ", ")),
				hint:   "add the hosts to the service's on, or take them out here"})
		}
	}
}
