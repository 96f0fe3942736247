package compile

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nixmesh/nixmesh/spec"
)

// service writes the definitions of one service on this host: its instances,
// what they may call, and the NixOS options that stand in its block.
func (c *hostCompiler) service(p placement) error {
	s := p.service
	for _, i := range p.instances() {
		if err := c.instance(i); err != nil {
			return err
		}
		if err := c.checks(i); err != nil {
			return err
		}
	}
	if len(p.versions) > 0 {
		if err := c.edges(s); err != nil {
			return err
		}
	}
	c.imports(s.Imports)
	c.nixos(s.Nixos, s.NixosPlace, s.Place)
	return nil
}

// UserOf is the user that a service with a package runs as, one for all its
// versions, since identity is per service.
func UserOf(s *spec.Service) string { return "nm-" + s.Name }

// packageRef selects a package, or throws with the place and the way out.
func (c *hostCompiler) packageRef(p *spec.Package, place spec.Place) expr {
	if p.Input != "" {
		return throwing{
			value:   "inputs." + nixName(p.Input) + ".packages.${pkgs.stdenv.hostPlatform.system}." + nixPath(splitPath(p.Attr)...),
			place:   place,
			message: fmt.Sprintf("flake %q has no package %q for this host's system; see what it has with `nix flake show %s`", p.Input, p.Attr, c.fleet.Inputs[p.Input]),
		}
	}
	where := "nixpkgs (" + nixpkgsOf(c.fleet, c.options) + ")"
	next := `add an overlay with it to fleet.overlays, or name a flake's as "INPUT#` + p.Attr + `"`
	switch {
	case c.host.Config != "":
		where = "the packages of " + c.host.Config
		next = `add it there, or name a flake's as "INPUT#` + p.Attr + `"`
	case len(c.fleet.Overlays) > 0:
		overlays := strings.Join(c.fleet.Overlays, ", ")
		where += " with the overlays " + overlays
		next = "define it in " + c.fleet.Overlays[0] + `, or name a flake's as "INPUT#` + p.Attr + `"`
	}
	return throwing{
		value:   "pkgs." + nixPath(splitPath(p.Attr)...),
		place:   place,
		message: fmt.Sprintf("package %q is not in %s; %s", p.Attr, where, next),
	}
}

// words writes a command for the exec option: $$ is a dollar and ${NAME} a
// variable, there as in systemd.
func words(cmd *spec.Command) expr {
	l := make([]string, 0, len(cmd.Words))
	for _, word := range cmd.Words {
		var b strings.Builder
		for _, part := range word {
			if part.Var != "" {
				b.WriteString("${" + part.Var + "}")
			} else {
				b.WriteString(strings.ReplaceAll(part.Text, "$", "$$"))
			}
		}
		l = append(l, b.String())
	}
	return strs(l)
}

func limits(l spec.Limits) attrs {
	var a attrs
	if l.Memory > 0 {
		a = append(a, bind("memory", raw(strconv.FormatInt(l.Memory, 10))))
	}
	if l.CPU > 0 {
		a = append(a, bind("cpu", str(strconv.FormatFloat(l.CPU, 'f', -1, 64)+"%")))
	}
	if l.Tasks > 0 {
		a = append(a, bind("tasks", number(l.Tasks)))
	}
	if l.Files > 0 {
		a = append(a, bind("files", number(l.Files)))
	}
	return a
}

func number(n int) expr { return raw(strconv.Itoa(n)) }

// orPlace is place, or the place around it where the spec left it out.
func orPlace(place, around spec.Place) spec.Place {
	if place.File == "" {
		return around
	}
	return place
}
