package compile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/spec"
)

// nixpkgsOf is the flake reference that the fleet is built from.
func nixpkgsOf(f *spec.Fleet, o Options) string {
	if o.Nixpkgs != "" {
		return o.Nixpkgs
	}
	return f.Nixpkgs
}

// flakeText is flake.nix: the pinned inputs, nixmesh's own folder and one
// nixosConfiguration a host, so that other tools work on it, too.
func flakeText(f *spec.Fleet, o Options) []byte {
	inputs := attrs{bind("nixpkgs.url", str(nixpkgsOf(f, o)))}
	for _, name := range slices.Sorted(maps.Keys(f.Inputs)) {
		inputs = append(inputs, bind(nixName(name)+".url", str(f.Inputs[name])))
	}
	hosts := attrs{}
	for _, h := range f.Hosts {
		hosts = append(hosts, bind(nixName(h.Name), raw(hostText(h))))
	}

	p := &printer{}
	p.b.WriteString(heading)
	attrs{
		bind("description", str("fleet "+f.Name)),
		bind("inputs", inputs),
		bind("outputs", outputs{let: flakeLet(f, o), hosts: hosts}),
	}.print(p, 0)
	p.b.WriteByte('\n')
	return p.b.Bytes()
}

// heading opens every generated file.
const heading = "# Written by nixmesh from the fleet's *.hcl; edits are lost.\n"

// outputs is the function of the flake's inputs.
type outputs struct {
	let   attrs
	hosts attrs
}

func (o outputs) print(p *printer, depth int) {
	p.line(depth+1, "inputs:")
	p.line(depth+1, "let")
	for _, b := range o.let {
		p.line(depth+2, b.path+" = ")
		b.value.print(p, depth+2)
		p.b.WriteByte(';')
	}
	p.line(depth+1, "in")
	p.line(depth+1, "")
	attrs{bind("nixosConfigurations", o.hosts)}.print(p, depth+1)
}

// addresses are those of all hosts, sorted, so that another name of a host
// changes nothing. They stand in flake.nix once, and not in every host's module.
func addresses(f *spec.Fleet) []string {
	all := make([]string, 0, len(f.Hosts))
	for _, h := range f.Hosts {
		all = append(all, h.Address)
	}
	slices.Sort(all)
	return all
}

// flakeLet binds nixmesh's folder and the modules that every host gets.
func flakeLet(f *spec.Fleet, o Options) attrs {
	modules := list{
		raw(`(nixmesh + "/modules")`),
		attrs{
			bind("services.nixmesh.source", raw("nixmesh")),
			bind("services.nixmesh.version", str(o.NixmeshVersion)),
			bind("services.nixmesh.addresses", strs(addresses(f))),
		},
	}
	if o.Lab {
		modules = append(modules,
			raw(`(nixmesh + "/lab/module.nix")`),
			raw(`({ lib, ... }: { nixpkgs.overlays = lib.mkAfter [ (import (nixmesh + "/lab/overlay.nix")) ]; })`),
		)
	}
	return attrs{
		bind("nixmesh", raw(fmt.Sprintf(
			`(builtins.fetchTree { type = "path"; path = %s; narHash = %s; }).outPath`,
			nixString(o.NixmeshDir), nixString(o.NixmeshNarHash)))),
		bind("modules", modules),
	}
}

// hostText builds one host, from nixpkgs or on top of the configuration that
// it extends.
func hostText(h *spec.Host) string {
	modules := fmt.Sprintf("modules = modules ++ [ (import %s inputs) ];", "./hosts/"+h.Name+"/host.nix")
	if h.Config == "" {
		return "inputs.nixpkgs.lib.nixosSystem { " + modules + " }"
	}
	input, attr, _ := strings.Cut(h.Config, "#")
	base := throwing{
		value:   "inputs." + nixName(input) + "." + nixPath(splitPath(attr)...),
		place:   h.Place,
		message: fmt.Sprintf("flake %q has no %s; write config = \"INPUT#nixosConfigurations.NAME\"", input, attr),
	}
	p := &printer{places: withPlaces}
	p.b.WriteByte('(')
	base.print(p, 0)
	p.b.WriteString(").extendModules { " + modules + " }")
	return p.b.String()
}

// printModule is the text of host.nix.
func printModule(m hostModule, places places) []byte {
	p := &printer{places: places}
	p.b.WriteString(heading)
	p.b.WriteString("inputs:")
	if m.fleetFiles {
		// A tree of this host's own, so that another host's files never change
		// what a path in it evaluates to.
		fmt.Fprintf(&p.b, "\nlet\n  fleet = builtins.path { path = ./fleet; name = %s; };\nin", nixString("nixmesh-"+m.host))
	}
	p.b.WriteByte('\n')
	attrs{bind("imports", m.definitions)}.print(p, 0)
	p.b.WriteByte('\n')
	return p.b.Bytes()
}
