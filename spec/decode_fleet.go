package spec

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// fleetOf decodes everything, in the order in which later parts need earlier ones.
func (d *decoder) fleetOf(top, b *block) *Fleet {
	if b == nil {
		b = &block{kind: "fleet", title: "", path: "fleet", header: fileStart(rootFile), name: fileStart(rootFile)}
	} else {
		d.required(b, fleetSchema())
		b.path = "fleet"
		for _, inner := range b.blocks {
			inner.path = "fleet." + inner.kind
		}
	}
	f := &Fleet{Dir: d.dir, Name: b.label, Place: b.place(), InputPlaces: map[string]Place{}, Inputs: map[string]string{}}
	f.Nixpkgs = absolute(d.dir, d.text(b, "nixpkgs", ""))
	d.inputs(f, b)
	for _, it := range d.items(b, "overlays") {
		if file, ok := d.file(it); ok {
			f.Overlays = append(f.Overlays, file)
		}
	}
	if a := b.attrs["overlays"]; a != nil {
		f.OverlayPlace = a.place()
	}
	f.Constraint = d.text(b, "nixmesh", "")
	if a := b.attrs["nixmesh"]; a != nil && f.Constraint != "" {
		d.constraint(a, f.Constraint)
	}
	f.Domain = d.matching(b, "domain", "mesh", `^[a-z][a-z0-9-]{0,62}(\.[a-z][a-z0-9-]{0,62})*$`, "a name as in DNS, in lower case", `domain = "mesh"`)
	f.KeepReleases = d.whole(b, "keep_releases", 5, 1, 1000)
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
	slices.SortFunc(f.Services, func(a, b *Service) int { return cmp.Compare(a.Name, b.Name) })
	d.waves(f, b.one("rollout"))
	d.checkRollout(f, top, b.one("rollout"))
	d.checkPorts(f, top)
	d.checkIdle(f, top)
	return f
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
		if ok {
			f.Inputs[name] = absolute(d.dir, ref)
			place := it.a.place()
			place.Line = it.rng.Start.Line
			f.InputPlaces[name] = place
		}
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
	if !regexp.MustCompile(pattern).MatchString(text) {
		d.wrong(it, fmt.Sprintf("%q is %s; %q is not.", name, what, text), example)
		return fallback
	}
	return text
}

// file reads a path below the fleet's folder: slash-separated, clean (NM0005).
func (d *decoder) file(it item) (string, bool) {
	text, ok := d.asText(it)
	if !ok {
		return "", false
	}
	rel := path.Clean(text)
	if text == "" {
		rel = ".."
	}
	_, err := insideDir(d.dir, rel)
	if err == nil {
		return rel, true
	}
	p := problem{code: "NM0005", rng: it.rng, block: it.a.title, detail: fmt.Sprintf("%v.", pathProblem(d.dir, text, err))}
	p.detail = strings.ToUpper(p.detail[:1]) + p.detail[1:]
	if errors.Is(err, fs.ErrNotExist) {
		p.hint = "make the file, or correct the path"
		if near := nearestFile(d.dir, rel); near != "" {
			p.hint = fmt.Sprintf("did you mean %q?", "./"+near)
		}
	} else {
		p.hint = "copy the file into the fleet's folder"
	}
	d.add(p)
	return "", false
}

func (d *decoder) ssh(b *block, base SSH) SSH {
	return SSH{
		User: d.matching(b, "user", base.User, `^[a-z_][a-z0-9_-]{0,30}$`, "a user's name", `user = "deploy"`),
		Port: d.whole(b, "port", base.Port, 1, 65535),
		Key:  d.text(b, "key", base.Key),
		Jump: d.matching(b, "jump", base.Jump, `^[A-Za-z0-9_.-]+@(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[1-9][0-9]{0,4}$`, "user@host:port", `jump = "anna@bastion.example:22"`),
	}
}

// rollout decodes all but the waves, which need the hosts.
func (d *decoder) rollout(b *block) Rollout {
	r := Rollout{
		Place:           b.place(),
		Confirm:         d.duration(b, "confirm", 90*time.Second, time.Second),
		Settle:          d.duration(b, "settle", 3*time.Second, 0),
		ActivateTimeout: d.duration(b, "activate_timeout", 10*time.Minute, time.Second),
		Soak:            d.duration(b, "soak", 0, 0),
		OnFail:          d.choice(b, "on_fail", "stop", "stop", "revert-wave", "revert-release"),
		MaxFailed:       d.whole(b, "max_failed", 0, 0, math.MaxInt32),
		LastResort:      d.choice(b, "last_resort", "reboot", "reboot", "hold"),
		Parallel:        4,
	}
	it, ok := d.item(b, "parallel")
	if !ok {
		return r
	}
	zero := it.value.Type() == cty.Number && it.value.AsBigFloat().Sign() == 0
	percent, isPercent := 0.0, false
	if it.value.Type() == cty.String {
		percent, isPercent = parsePercent(it.value.AsString())
	}
	switch {
	case zero || isPercent && percent == 0:
		d.add(problem{code: "NM0506", rng: it.rng, block: b.title, detail: "With 0 hosts at once no deploy would ever begin.", hint: "for example parallel = 1"})
	case it.value.Type() == cty.Number:
		if n, ok := d.asWhole(it, 1, math.MaxInt32); ok {
			r.Parallel = n
		}
	default:
		if p, ok := d.asPercent(it, 100); ok {
			r.Parallel, r.ParallelPct = 0, p
		}
	}
	return r
}
