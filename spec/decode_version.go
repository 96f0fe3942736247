package spec

import (
	"fmt"
	"maps"
)

// serviceVersion decodes one version; what it leaves out is the service's. Its command
// follows when all names are known: see commands.
func (d *decoder) serviceVersion(f *Fleet, s *Service, b *block) *Version {
	v := &Version{Name: b.label, Place: b.place(), On: s.On, Package: s.Package, PackagePlace: s.PackagePlace, Unit: s.Unit, Port: d.whole(b, "port")}
	if b.meant("on") {
		v.On = d.versionOn(f, b)
	}
	if b.has("package") {
		v.Package, v.PackagePlace = d.pkg(f, b), b.attrs["package"].place()
	}
	if b.has("unit") {
		v.Unit = d.unit(b)
	}
	env, place := d.env(b)
	v.Env, v.EnvPlace = over(s.Env, env), s.EnvPlace
	if b.has("env") {
		v.EnvPlace = place
	}
	v.Secrets = over(s.Secrets, d.secrets(b))
	return v
}

// versionOn are the hosts of a version. Unlike a service, a version may be told
// and run nowhere: on = [].
func (d *decoder) versionOn(f *Fleet, b *block) []string {
	if parked(d, b) {
		return nil
	}
	return d.on(f, b)
}

// parked says whether a version is written to run on no host.
func parked(d *decoder, b *block) bool {
	it, ok := d.item(b, "on")
	return ok && it.value.CanIterateElements() && it.value.LengthInt() == 0
}

// over is a map laid over another one.
func over[V any](base, top map[string]V) map[string]V {
	merged := maps.Clone(base)
	if merged == nil {
		merged = map[string]V{}
	}
	maps.Copy(merged, top)
	return merged
}

// split reads the shares of the versions; what it leaves out is 0. Without one,
// all goes to the first version. It is nil where a share could not be read.
func (d *decoder) split(s *Service, b *block) {
	s.SplitPlace = s.Place
	if len(s.Versions) > 0 {
		s.Split = map[string]float64{s.Versions[0].Name: 100}
	}
	if !b.has("split") {
		return
	}
	s.SplitPlace = b.attrs["split"].place()
	members := d.members(b, "split")
	s.Split = map[string]float64{}
	whole := members != nil
	for name, it := range members {
		share, ok := d.share(it.atValue())
		s.Split[name], whole = share, whole && ok
	}
	if !whole {
		s.Split = nil // no sum can be told
	}
}

// share reads a percentage of a split; less than nothing or more than all is a
// mistake of the split (NM0308).
func (d *decoder) share(it item) (float64, bool) {
	if v, ok := percentOf(it.value); ok && (v < 0 || v > 100) {
		d.add(problem{code: "NM0308", rng: it.rng, block: it.a.title, detail: fmt.Sprintf("%q is a share of 100, and not %g.", it.name, v),
			hint: "shares are from 0 to 100, and their sum is 100"})
		return 0, false
	}
	return d.asPercent(it, 0, 100)
}
