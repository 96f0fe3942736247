package spec

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

const attributePath = `[A-Za-z_][A-Za-z0-9_'-]*(\.[A-Za-z_][A-Za-z0-9_'-]*)*`

func (d *decoder) host(f *Fleet, b *block) *Host {
	d.required(b)
	h := &Host{
		Name:    b.label,
		Place:   b.place(),
		Address: d.address(b),
		Tags:    d.tags(b),
		Zone:    d.matching(b, "zone", "", `^[a-z0-9][a-z0-9-]{0,62}(/[a-z0-9][a-z0-9-]{0,62})?$`, "ZONE or REGION/ZONE, in lower case, each of at most 63 characters", `zone = "eu/rack1"`),
		System:  d.matching(b, "system", "x86_64-linux", `^[a-z0-9_]+-linux$`, "a Linux system of Nix", `system = "aarch64-linux"`),
		Config:  d.config(f, b),
		Imports: d.imports(f, b),
		BuildOn: d.buildOn(b),
		SSH:     d.ssh(b.one("ssh"), f.SSH),
	}
	d.hostsUnsure = d.hostsUnsure || d.unsure(b, "tags")
	h.Nixos, h.NixosPlace = d.nixos(b)
	if it, ok := d.item(b, "ssh_host_key"); ok {
		if text, ok := d.asText(it); ok {
			h.HostKey = d.hostKey(it, text)
		}
	}
	return h
}

// buildOn refuses "target" while nothing builds there: building here instead
// would be another thing than what was written.
func (d *decoder) buildOn(b *block) string {
	on := d.choice(b, "build_on")
	if on != "target" {
		return on
	}
	it, _ := d.item(b, "build_on")
	d.add(problem{code: "NM0109", rng: it.rng, block: b.title,
		detail: "Building on the host itself comes with a later release of nixmesh.", hint: `build_on = "local"`})
	return "local"
}

func (d *decoder) hostKey(it item, text string) string {
	key, err := sshKey(text, "ssh-ed25519")
	if err != nil && isPrivateKey(text) {
		d.privateKey(it)
	} else if err != nil {
		detail := err.Error()
		d.add(problem{code: "NM0503", rng: it.rng, block: it.a.title, detail: strings.ToUpper(detail[:1]) + detail[1:] + ".",
			hint: "paste /etc/ssh/ssh_host_ed25519_key.pub of the host"})
	}
	return key
}

func (d *decoder) address(b *block) string {
	it, ok := d.item(b, "address")
	if !ok {
		return ""
	}
	text, ok := d.asText(it)
	if !ok {
		return ""
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
		d.add(problem{code: "NM0501", rng: it.rng, block: b.title, detail: fmt.Sprintf("%q is not the address of one host.", text),
			hint: `write an IPv4 or IPv6 address without port or range, for example "10.0.0.21"`})
		return ""
	}
	if ip.Unmap().IsLoopback() {
		d.add(problem{code: "NM0501", rng: it.rng, block: b.title, detail: fmt.Sprintf("At %q every host reaches itself only.", text),
			hint: "write the address by which the other hosts and SSH reach it"})
		return ""
	}
	return ip.Unmap().String()
}

// checkAddresses finds two hosts with one address.
func (d *decoder) checkAddresses(top *block) {
	first := map[string]*block{}
	for _, b := range top.all("host") {
		a := b.attrs["address"]
		if a == nil {
			continue
		}
		v, ok := d.value(a)
		if !ok || v.IsNull() || v.Type() != cty.String {
			continue
		}
		ip, err := netip.ParseAddr(v.AsString())
		if err != nil {
			continue
		}
		address := ip.Unmap().String()
		if other := first[address]; other != nil {
			d.add(problem{code: "NM0501", rng: a.expr.Range(), block: b.title,
				detail: fmt.Sprintf("Host %q has the address %s, too, at %s.", other.label, address, at(other.attrs["address"].key)), hint: "every host has an address of its own"})
			continue
		}
		first[address] = b
	}
}

func (d *decoder) tags(b *block) []string {
	texts, entries := d.texts(b, "tags")
	var tags []string
	seen := map[string]bool{}
	for i, tag := range texts {
		if !isName(tag) {
			entries[i].a.bad = true // so that selectors may mean it
			d.add(problem{code: "NM0106", rng: entries[i].rng, block: b.title, detail: fmt.Sprintf("%q is not a tag.", tag), hint: nameRule})
			continue
		}
		if seen[tag] {
			d.add(problem{code: "NM0107", rng: entries[i].rng, block: b.title, detail: fmt.Sprintf("The tag %q stands here twice.", tag), hint: "keep one"})
			continue
		}
		seen[tag] = true
		tags = append(tags, tag)
	}
	return tags
}

// config reads INPUT#nixosConfigurations.NAME (NM0504).
func (d *decoder) config(f *Fleet, b *block) string {
	it, ok := d.item(b, "config")
	if !ok {
		return ""
	}
	text, ok := d.asText(it)
	if !ok {
		return ""
	}
	input, attr, _ := strings.Cut(text, "#")
	name, isConfig := strings.CutPrefix(attr, "nixosConfigurations.")
	switch {
	case !isConfig || input == "" || !regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_'-]*$`).MatchString(name):
		d.add(problem{code: "NM0504", rng: it.rng, block: b.title, detail: fmt.Sprintf("%q is not INPUT#nixosConfigurations.NAME.", text),
			hint: fmt.Sprintf(`for example config = "infra#nixosConfigurations.%s"`, b.label)})
	case b.has("system"):
		d.add(problem{code: "NM0504", rng: b.attrs["system"].key, block: b.title, detail: "With config the system is that configuration's own.", hint: "delete system"})
	default:
		d.knownInput(f, it, input)
	}
	return text
}

// knownInput holds the name before "#" against fleet.inputs (NM0206).
func (d *decoder) knownInput(f *Fleet, it item, input string) bool {
	if _, ok := f.Inputs[input]; ok {
		return true
	}
	if d.fleet == nil || d.unsure(d.fleet, "inputs") {
		return false
	}
	hint := fmt.Sprintf("add to inputs: %s = \"github:OWNER/REPO\"", input)
	if len(f.Inputs) == 0 {
		hint = fmt.Sprintf("add to the fleet: inputs = { %s = \"github:OWNER/REPO\" }", input)
	}
	if strings.ContainsAny(input, ":/.") { // a flake itself
		text, name := it.value.AsString(), inputName(input)
		d.add(problem{code: "NM0206", rng: it.rng, block: it.a.title, detail: fmt.Sprintf("Before the # stands the name of an input, and %q is a flake.", input),
			hint: fmt.Sprintf("add to the fleet: inputs = { %s = %q }, and write %q here", name, input, name+strings.TrimPrefix(text, input))})
		return false
	}
	if n := nearest(input, slices.Collect(maps.Keys(f.Inputs))); n != "" {
		hint = fmt.Sprintf("did you mean %q? Else %s", n, hint)
	}
	rng := it.rng
	if it.value.Type() == cty.String {
		rng = d.part(it, 0, len(input))
	}
	d.add(problem{code: "NM0206", rng: rng, block: it.a.title, detail: fmt.Sprintf("The fleet has no input %q.", input), hint: hint})
	return false
}

// inputName is a name for a flake: the last word of its reference.
func inputName(flake string) string {
	flake, _, _ = strings.Cut(flake, "?")
	words := strings.FieldsFunc(strings.ToLower(flake), func(r rune) bool { return r == '/' || r == ':' || r == '.' })
	if len(words) == 0 || !isName(words[len(words)-1]) {
		return "other"
	}
	return words[len(words)-1]
}
