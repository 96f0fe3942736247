package compile

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/nixmesh/nixmesh/spec"
)

// service writes the definitions of one service on this host: one for each
// part of the block that has a place of its own.
func (c *hostCompiler) service(s *spec.Service) error {
	instance := nixPath("services", "nixmesh", "instances", s.Name)
	main := attrs{bind("place", placeText(s.Place))}
	if s.Package != nil {
		user := UserOf(s)
		uid := c.lock.UID(user)
		if uid == 0 {
			return fmt.Errorf("%s: the lock has no uid for %s", s.Place, user)
		}
		main = append(main, bind("user", str(user)), bind("uid", raw(strconv.Itoa(uid))))
	} else {
		main = append(main, bind("unit", str(s.Unit)))
		if s.User != "" {
			uid := c.lock.UID(s.User)
			if uid == 0 {
				return fmt.Errorf("%s: the lock has no uid for %s", s.Place, s.User)
			}
			main = append(main, bind("user", str(s.User)), bind("uid", raw(strconv.Itoa(uid))))
		}
	}
	if s.Exec != nil {
		main = append(main, bind("exec", words(s.Exec)))
	}
	if len(s.Listens) > 0 {
		listens, err := c.listens(s)
		if err != nil {
			return err
		}
		main = append(main, bind("listens", listens))
	}
	main = append(main, bind("harden", str(s.Harden)))
	if s.Rollout.Stop > 0 && (s.Package != nil || s.Rollout.Place.File != "") {
		main = append(main, bind("stopTimeout", duration(s.Rollout.Stop)))
	}
	c.define(&module{place: s.Place, config: attrs{bind(instance, main)}}, c.fleet.Place)

	if s.Package != nil {
		c.define(&module{
			place:  s.PackagePlace,
			pkgs:   true,
			config: attrs{bind(instance+".package", c.packageRef(s.Package, orPlace(s.PackagePlace, s.Place)))},
		}, s.Place)
	}
	if len(s.Env) > 0 {
		env := attrsOf(s.Env, func(v string) expr { return str(v) })
		c.define(&module{place: s.EnvPlace, config: attrs{bind(instance+".environment", env)}}, s.Place)
	}
	// The defaults are for our own units; another module's unit keeps its own
	// limits where the HCL has no such block.
	if limits := limits(s.Limits); len(limits) > 0 && (s.Package != nil || s.Limits.Place.File != "") {
		c.define(&module{place: s.Limits.Place, config: attrs{bind(instance+".limits", limits)}}, s.Place)
	}
	if err := c.checks(s); err != nil {
		return err
	}
	c.imports(s.Imports)
	c.nixos(s.Nixos, s.NixosPlace, s.Place)
	return nil
}

// UserOf is the user that a service with a package runs as, one for all its
// versions, since identity is per service.
func UserOf(s *spec.Service) string { return "nm-" + s.Name }

// listens are the ports that the service takes on this host.
func (c *hostCompiler) listens(s *spec.Service) (list, error) {
	var l list
	for _, listen := range s.Listens {
		port, err := c.port(s, listen)
		if err != nil {
			return nil, err
		}
		a := attrs{
			bind("protocol", str(listen.Protocol)),
			bind("address", str(listen.Address)),
			bind("port", raw(strconv.Itoa(port))),
		}
		if listen.Name != "" {
			a = append(attrs{bind("name", str(listen.Name))}, a...)
		}
		l = append(l, a)
	}
	return l, nil
}

// port is a listen's port: fixed in the HCL, else the lock's.
func (c *hostCompiler) port(s *spec.Service, l *spec.Listen) (int, error) {
	if l.Port != 0 {
		return l.Port, nil
	}
	if port := c.lock.Port(s.Name, l.Name); port != 0 {
		return port, nil
	}
	return 0, fmt.Errorf("%s: the lock has no port for it", orPlace(l.Place, s.Place))
}

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
		a = append(a, bind("tasks", raw(strconv.Itoa(l.Tasks))))
	}
	if l.Files > 0 {
		a = append(a, bind("files", raw(strconv.Itoa(l.Files))))
	}
	return a
}

// checks are the health checks of the service, one definition each.
func (c *hostCompiler) checks(s *spec.Service) error {
	for i, check := range s.Checks {
		a, err := c.check(s, check)
		if err != nil {
			return err
		}
		c.define(&module{
			place:  check.Place,
			pkgs:   check.Package != nil,
			config: attrs{bind(nixPath("services", "nixmesh", "checks", checkName(s, i)), a)},
		}, s.Place)
	}
	return nil
}

func (c *hostCompiler) check(s *spec.Service, check *spec.Check) (attrs, error) {
	place := orPlace(check.Place, s.Place)
	a := attrs{
		bind("instance", str(s.Name)),
		bind("place", placeText(place)),
		bind("kind", str(check.Kind)),
	}
	if check.Kind == "exec" {
		a = append(a, bind("exec", words(check.Exec)))
		if check.Package != nil {
			a = append(a, bind("package", c.packageRef(check.Package, place)))
		}
	} else {
		listen, err := checkedListen(s, check)
		if err != nil {
			return nil, err
		}
		address, err := c.checkAddress(s, listen)
		if err != nil {
			return nil, err
		}
		a = append(a, bind("address", str(address)))
		if check.Kind == "http" {
			a = append(a, bind("path", str(check.HTTP)))
			if listen.Protocol == "http2" {
				a = append(a, bind("http2", raw("true")))
			}
		}
	}
	if check.GRPC != "" {
		a = append(a, bind("grpc", str(check.GRPC)))
	}
	return append(a,
		bind("every", duration(check.Every)),
		bind("timeout", duration(check.Timeout)),
		bind("after", duration(check.After)),
		bind("rise", raw(strconv.Itoa(check.Rise))),
		bind("fall", raw(strconv.Itoa(check.Fall))),
	), nil
}

// checkedListen is the listen that a check names, else the first.
func checkedListen(s *spec.Service, check *spec.Check) (*spec.Listen, error) {
	for _, l := range s.Listens {
		if check.Listen == "" || l.Name == check.Listen {
			return l, nil
		}
	}
	return nil, fmt.Errorf("%s: no listen %q to check", orPlace(check.Place, s.Place), check.Listen)
}

// checkAddress is where a check connects to: a listen on all addresses is
// asked on loopback.
func (c *hostCompiler) checkAddress(s *spec.Service, l *spec.Listen) (string, error) {
	port, err := c.port(s, l)
	if err != nil {
		return "", err
	}
	host := l.Address
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// orPlace is place, or the place around it where the spec left it out.
func orPlace(place, around spec.Place) spec.Place {
	if place.File == "" {
		return around
	}
	return place
}
