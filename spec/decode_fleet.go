package spec

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// fleetOf decodes everything, in the order in which later parts need earlier ones.
func (d *decoder) fleetOf(top, b *block) *Fleet {
	if b == nil {
		b = &block{kind: "fleet", schema: fleetSchema(), title: "", path: "fleet", header: fileStart(rootFile), name: fileStart(rootFile)}
	} else {
		d.required(b)
		b.rooted("fleet")
	}
	f := &Fleet{Dir: d.dir, Name: b.label, Place: b.place(), InputPlaces: map[string]Place{}, Inputs: map[string]string{}}
	f.Nixpkgs = absolute(d.dir, d.target(b, "nixpkgs"))
	d.inputs(f, b)
	for _, it := range d.items(b, "overlays") {
		if file, ok := d.file(it); ok {
			f.Overlays = append(f.Overlays, file)
		}
	}
	if a := b.attrs["overlays"]; a != nil {
		f.OverlayPlace = a.place()
	}
	f.Constraint = d.text(b, "nixmesh")
	if a := b.attrs["nixmesh"]; a != nil && f.Constraint != "" {
		d.constraint(a, f.Constraint)
	}
	f.Domain = d.matching(b, "domain", "mesh", `^[a-z][a-z0-9-]{0,62}(\.[a-z][a-z0-9-]{0,62})*$`, "a name as in DNS, in lower case", `domain = "mesh"`)
	f.Authorization = d.choice(b, "authorization")
	f.CA = d.ca(b.one("ca"))
	f.CA.Root = caRoot(d.dir)
	f.Telemetry = d.telemetry(b.one("telemetry"))
	f.KeepReleases = d.whole(b, "keep_releases")
	f.SSH = d.ssh(b.one("ssh"), SSH{User: "deploy", Port: 22})
	f.Rollout = d.rollout(b.one("rollout"))
	for _, o := range top.all("operator") {
		f.Operators = append(f.Operators, d.operator(o))
	}
	d.checkOperators(f, top, b)
	for _, h := range top.all("host") {
		f.Hosts = append(f.Hosts, d.host(f, h))
	}
	slices.SortFunc(f.Hosts, func(a, b *Host) int { return cmp.Compare(a.Name, b.Name) })
	d.checkAddresses(top)
	for _, s := range top.all("service") {
		f.Services = append(f.Services, d.service(f, s))
	}
	for _, g := range top.all("gateway") {
		f.Gateways = append(f.Gateways, d.gateway(f, g))
	}
	for _, e := range top.all("external") {
		f.Externals = append(f.Externals, d.external(f, e))
	}
	d.waves(f, b.one("rollout"))
	// The blocks and what they became, while both are in the order of the files.
	d.rules(&pairs{f: f, top: top, fleet: b, services: top.all("service"), gateways: top.all("gateway"), externals: top.all("external"), operators: top.all("operator")})
	slices.SortFunc(f.Operators, func(a, b *Operator) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(f.Services, func(a, b *Service) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(f.Gateways, func(a, b *Gateway) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(f.Externals, func(a, b *External) int { return cmp.Compare(a.Name, b.Name) })
	return f
}

// rooted gives a block and those in it another path: a fleet's name is no part
// of it.
func (b *block) rooted(path string) {
	b.path = path
	for _, inner := range b.blocks {
		inner.rooted(path + "." + inner.kind)
	}
}

// rules holds the rules that look over several blocks.
func (d *decoder) rules(p *pairs) {
	d.checkAccess(p)
	d.checkUnitNames(p)
	d.checkUsers(p)
	d.checkPorts(p)
	d.checkStartAfter(p)
	d.checkSecrets(p)
	d.checkUpstreams(p)
	d.checkAllows(p)
	d.checkRoutes(p)
	d.checkGateways(p)
	d.checkRollout(p)
	d.checkIdle(p)
}

func (d *decoder) inputs(f *Fleet, b *block) {
	members := d.members(b, "inputs")
	for _, name := range slices.Sorted(maps.Keys(members)) {
		it := members[name]
		ref, ok := d.asText(it)
		if !isName(name) {
			d.add(problem{code: "NM0106", rng: it.rng, block: b.title, detail: fmt.Sprintf("%q is not a name.", name), hint: nameRule})
		} else if slices.Contains([]string{"nixpkgs", "self", "nixmesh"}, name) {
			d.wrong(it, fmt.Sprintf("An input cannot be named %q: the name is taken.", name), `inputs = { shop = "github:acme/shop" }`)
		}
		if ok && ref == "" {
			d.wrong(it, fmt.Sprintf("The input %q is no flake.", name), "")
		}
		if ref != "" {
			ref = absolute(d.dir, ref)
		}
		place := it.a.place()
		place.Line = it.rng.Start.Line
		f.Inputs[name], f.InputPlaces[name] = ref, place
	}
}

// matching reads a text that has to match a pattern.
func (d *decoder) matching(b *block, name, fallback, pattern, what, example string) string {
	it, ok := d.item(b, name)
	if !ok {
		return fallback
	}
	text, ok := d.asText(it)
	if !ok {
		return fallback
	}
	if !d.pattern(pattern).MatchString(text) {
		d.wrong(it, fmt.Sprintf("%q is %s; %q is not.", name, what, text), example)
		return fallback
	}
	return text
}

// file reads the path of a file below the fleet's folder: slash-separated, clean
// (NM0005).
func (d *decoder) file(it item) (string, bool) { return d.path(it, false) }

// path is file for one that may be missing.
func (d *decoder) path(it item, mayMiss bool) (string, bool) {
	text, ok := d.asText(it)
	if !ok {
		return "", false
	}
	rel := path.Clean(text)
	if text == "" {
		rel = ".."
	}
	_, err := insideDir(d.dir, rel)
	if err == nil || mayMiss && errors.Is(err, fs.ErrNotExist) {
		return rel, true
	}
	d.noFile(problem{rng: it.rng, block: it.a.title}, text, err)
	return "", false
}

// noFile reports a path of the fleet's folder that cannot be read (NM0005).
func (e *evaluator) noFile(p problem, text string, err error) {
	p.code, p.detail = "NM0005", fmt.Sprintf("%v.", pathProblem(e.dir, text, err))
	p.detail = strings.ToUpper(p.detail[:1]) + p.detail[1:]
	if errors.Is(err, fs.ErrNotExist) {
		p.hint = "make the file, or correct the path"
		if near := nearestFile(e.dir, path.Clean(text)); near != "" {
			p.hint = fmt.Sprintf("did you mean %q?", "./"+near)
		}
	} else {
		p.hint = "copy the file into the fleet's folder"
	}
	e.add(p)
}
