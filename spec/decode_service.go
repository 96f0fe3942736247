package spec

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/selector"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

func (d *decoder) service(f *Fleet, b *block) *Service {
	d.required(b, serviceSchema())
	s := &Service{Name: b.label, Place: b.place(), On: d.on(f, b)}
	s.Package = d.pkg(f, b)
	if a := b.attrs["package"]; a != nil {
		s.PackagePlace = a.place()
	}
	s.Unit = d.matching(b, "unit", "", `^[A-Za-z0-9:_.@\\-]+\.service$`, "the name of a service's unit", `unit = "postgresql.service"`)
	s.User = d.matching(b, "user", "", `^[a-z_][a-z0-9_-]{0,30}$`, "a user's name", `user = "postgres"`)
	d.env(s, b)
	s.Imports = d.imports(f, b)
	s.Nixos, s.NixosPlace = d.nixos(b)
	harden := "default"
	if b.meant("unit") {
		harden = "off"
	}
	s.Harden = d.choice(b, "harden", harden, "strict", "default", "off")
	d.listens(s, b)
	unsure := b.refused["secrets"] || b.refused["secret_env"] || b.refused["env"] || b.refused["listen"]
	s.Exec = d.command(b, "exec", s, unsure)
	for _, c := range b.all("check") {
		s.Checks = append(s.Checks, d.check(f, s, b, c, unsure))
	}
	s.Limits = d.limits(b.one("limits"))
	s.Rollout = d.serviceRollout(b.one("rollout"))
	d.checkService(s, b)
	return s
}

// on resolves the selectors (NM0205).
func (d *decoder) on(f *Fleet, b *block) []string {
	texts, entries := d.texts(b, "on")
	if it, ok := d.item(b, "on"); ok && len(texts) == 0 {
		if it.value.CanIterateElements() && it.value.LengthInt() == 0 {
			d.add(problem{code: "NM0205", rng: it.rng, block: b.title, detail: "The list names no host.", hint: `for example on = ["@app"], or ["*"] for all`})
		}
		return nil
	}
	if len(texts) == 0 {
		return nil
	}
	hosts, whole := selectable(f), true
	for i, text := range texts {
		if !d.selects(entries[i], hosts, text) {
			whole = false
		}
	}
	if !whole {
		return nil
	}
	s, err := selector.Parse(texts...)
	if err != nil {
		return nil
	}
	names, err := s.Select(hosts)
	if err != nil {
		d.noMatch(item{rng: b.attrs["on"].expr.Range(), a: b.attrs["on"]}, err)
	}
	return names
}

// selects checks one entry by itself, for its own range.
func (d *decoder) selects(it item, hosts []selector.Host, text string) bool {
	s, err := selector.Parse(strings.TrimPrefix(strings.TrimSpace(text), "!"))
	if strings.Contains(text, ",") {
		s, err = selector.Parse(text)
	}
	if err == nil {
		_, err = s.Select(hosts)
	}
	if err != nil {
		d.noMatch(it, err)
	}
	return err == nil
}

func (d *decoder) noMatch(it item, err error) {
	if d.hostsUnsure {
		return
	}
	p := problem{code: "NM0205", rng: it.rng, block: it.a.title}
	var none *selector.NoMatchError
	var syntax *selector.SyntaxError
	switch {
	case errors.As(err, &none):
		p.detail, p.hint = fmt.Sprintf("%q matches no host.", none.Term), none.Known()
		known := slices.Clone(none.Hosts)
		for _, tag := range none.Tags {
			known = append(known, "@"+tag)
		}
		if n := nearest(none.Term, known); n != "" && !strings.Contains(none.Term, ",") {
			p.hint = fmt.Sprintf("did you mean %q? %s", n, none.Known())
		}
	case errors.As(err, &syntax):
		p.detail, p.hint = fmt.Sprintf("%q is not a selector: %s.", syntax.Term, syntax.Reason), `selectors are "app1", "edge-*", "@app", "!app2"`
	default:
		p.detail = err.Error()
	}
	d.add(p)
}

func selectable(f *Fleet) []selector.Host {
	hosts := make([]selector.Host, len(f.Hosts))
	for i, h := range f.Hosts {
		hosts[i] = selector.Host{Name: h.Name, Tags: h.Tags}
	}
	return hosts
}

// pkg reads "ATTR" or "INPUT#ATTR".
func (d *decoder) pkg(f *Fleet, b *block) *Package {
	it, ok := d.item(b, "package")
	if !ok {
		return nil
	}
	text, ok := d.asText(it)
	if !ok {
		return nil
	}
	p := &Package{Attr: text}
	if input, attr, isFlake := strings.Cut(text, "#"); isFlake {
		p.Input, p.Attr = input, attr
	}
	if !regexp.MustCompile(`^` + attributePath + `$`).MatchString(p.Attr) {
		d.wrong(it, fmt.Sprintf("%q is not ATTR or INPUT#ATTR.", text), `package = "shop-web"`)
		return nil
	}
	if strings.Contains(text, "#") && !d.knownInput(f, it, p.Input) {
		return nil
	}
	return p
}

func (d *decoder) env(s *Service, b *block) {
	members := d.members(b, "env")
	if a := b.attrs["env"]; a != nil {
		s.EnvPlace = a.place()
	}
	s.Env = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		it := members[name]
		if !isVariable(name) {
			d.add(problem{code: "NM0313", rng: it.rng, block: b.title, detail: fmt.Sprintf("%q is not the name of a variable.", name),
				hint: "letters, digits and _, and no digit at the start"})
			continue
		}
		if !it.value.IsNull() && it.value.Type().IsPrimitiveType() {
			if v, err := convert.Convert(it.value, cty.String); err == nil {
				it.value = v
			}
		}
		if text, ok := d.asText(it); ok {
			s.Env[name] = text
		}
	}
}

func (d *decoder) listens(s *Service, b *block) {
	protocols := []string{"http", "http2", "grpc", "tcp", "redis"}
	for _, l := range b.all("listen") {
		listen := &Listen{Place: l.place(), Protocol: l.label, Port: d.whole(l, "port", 0, 1, 65535)}
		if !slices.Contains(protocols, l.label) {
			p := problem{code: "NM0316", rng: l.name, block: l.title, detail: fmt.Sprintf("%q is not a protocol.", l.label),
				hint: didYouMean(l.label, protocols, "the protocols are")}
			if l.label == "udp" {
				p.detail, p.hint = "UDP is not carried: nothing in the mesh would protect it.", "the protocols are http, http2, grpc, tcp, redis"
			}
			d.add(p)
		}
		listen.Name = d.matching(l, "name", "", `^[a-z][a-z0-9-]{0,30}$`, "a name", `name = "admin"`)
		listen.Address = "127.0.0.1"
		if it, ok := d.item(l, "address"); ok {
			if text, ok := d.asText(it); ok {
				if ip, err := netip.ParseAddr(text); err != nil || ip.Zone() != "" {
					d.wrong(it, fmt.Sprintf("%q is not an IP address.", text), `address = "127.0.0.1"`)
				} else {
					listen.Address = ip.String()
				}
			}
		}
		s.Listens = append(s.Listens, listen)
	}
}

func (d *decoder) limits(b *block) Limits {
	l := Limits{
		Place:  b.place(),
		Memory: d.size(b, "memory"),
		Tasks:  d.whole(b, "tasks", 0, 1, math.MaxInt32),
		Files:  d.whole(b, "files", 65536, 1, 1<<30),
	}
	if it, ok := d.item(b, "cpu"); ok {
		l.CPU, _ = d.asPercent(it, 100*4096)
	}
	return l
}

func (d *decoder) serviceRollout(b *block) ServiceRollout {
	return ServiceRollout{
		Place:      b.place(),
		Confirm:    d.duration(b, "confirm", 0, time.Second),
		Settle:     d.duration(b, "settle", 0, 0),
		MinHealthy: d.whole(b, "min_healthy", -1, 0, math.MaxInt32),
		Drain:      d.duration(b, "drain", 30*time.Second, 0),
		Stop:       d.duration(b, "stop", 30*time.Second, 0),
	}
}
