package compile

import (
	"fmt"
	"maps"
	"slices"

	"github.com/nixmesh/nixmesh/spec"
)

// instance writes the definitions of one instance: one for each part of the
// block that has a place of its own.
func (c *hostCompiler) instance(i instance) error {
	s, v := i.service, i.version
	place := orPlace(v.Place, s.Place)
	option := nixPath("services", "nixmesh", "instances", i.name)
	main := attrs{bind("service", str(s.Name)), bind("place", placeText(place))}
	if v.Name != "" {
		main = append(main, bind("version", str(v.Name)))
	}
	user := s.User
	if v.Unit != "" {
		main = append(main, bind("unit", str(v.Unit)))
	} else {
		user = UserOf(s)
	}
	if user != "" {
		uid := c.lock.UID(user)
		if uid == 0 {
			return fmt.Errorf("%s: the lock has no uid for %s", s.Place, user)
		}
		main = append(main, bind("user", str(user)), bind("uid", number(uid)))
	}
	main = append(main, run(s, v)...)
	if after := c.startAfter(s); len(after) > 0 {
		main = append(main, bind("startAfter", strs(after)))
	}
	if s.Egress != "open" {
		main = append(main, bind("egress", str(s.Egress)))
	}
	if s.MTLS != "strict" {
		main = append(main, bind("mtls", str(s.MTLS)))
	}
	if len(s.Listens) > 0 {
		listens, err := c.listens(i)
		if err != nil {
			return err
		}
		main = append(main, bind("listens", listens))
	}
	main = append(main, bind("harden", str(s.Harden)))
	if !s.JIT {
		main = append(main, bind("jit", raw("false")))
	}
	if s.Rollout.Stop > 0 {
		main = append(main, bind("stopTimeout", duration(s.Rollout.Stop)))
	}
	if len(s.SecretEnv) > 0 {
		main = append(main, bind("secretEnv", strs(s.SecretEnv)))
	}
	c.define(&module{place: place, config: attrs{bind(option, main)}}, c.fleet.Place)

	if v.Package != nil {
		c.define(&module{
			place:  v.PackagePlace,
			pkgs:   true,
			config: attrs{bind(option+".package", c.packageRef(v.Package, orPlace(v.PackagePlace, place)))},
		}, place)
	}
	if len(v.Env) > 0 {
		env := attrsOf(v.Env, func(v string) expr { return str(v) })
		c.define(&module{place: v.EnvPlace, config: attrs{bind(option+".environment", env)}}, place)
	}
	c.secrets(v, option, place)
	if limits := limits(s.Limits); len(limits) > 0 {
		c.define(&module{place: s.Limits.Place, config: attrs{bind(option+".limits", limits)}}, s.Place)
	}
	return nil
}

// run is what an instance does and when; nothing of it is said of another
// module's unit but its order.
func run(s *spec.Service, v *spec.Version) attrs {
	if v.Unit != "" {
		return nil
	}
	var a attrs
	if v.Exec != nil {
		a = append(a, bind("exec", words(v.Exec)))
	}
	if len(s.BeforeStart) > 0 {
		l := list{}
		for _, command := range s.BeforeStart {
			l = append(l, words(command))
		}
		a = append(a, bind("beforeStart", l))
	}
	if s.Schedule != "" {
		return append(a, bind("schedule", str(s.Schedule)))
	}
	return append(a, bind("restart", str(s.Restart)))
}

// startAfter are the units of this host that come first: a service's are
// those of all its instances here.
func (c *hostCompiler) startAfter(s *spec.Service) []string {
	var units []string
	for _, after := range s.StartAfter {
		if after.Service == "" {
			units = append(units, after.Target)
			continue
		}
		for _, p := range c.placements {
			if p.service.Name != after.Service {
				continue
			}
			for _, i := range p.instances() {
				units = append(units, i.unit())
			}
		}
	}
	return units
}

// secrets are files that only this instance sees, one definition each.
func (c *hostCompiler) secrets(v *spec.Version, option string, around spec.Place) {
	for _, name := range slices.Sorted(maps.Keys(v.Secrets)) {
		secret := v.Secrets[name]
		a := attrs{bind("path", str(secret.Path))}
		if secret.File != "" {
			a = attrs{bind("file", raw(fleetFile(secret.File)))}
		}
		c.define(&module{place: secret.Place, config: attrs{bind(option+"."+nixPath("secrets", name), a)}}, around)
	}
}

// listens are the ports that an instance takes on this host.
func (c *hostCompiler) listens(i instance) (list, error) {
	var l list
	for _, listen := range i.service.Listens {
		port, err := c.port(i, listen)
		if err != nil {
			return nil, err
		}
		a := attrs{
			bind("protocol", str(listen.Protocol)),
			bind("address", str(listen.Address)),
			bind("port", number(port)),
		}
		if listen.Name != "" {
			a = append(attrs{bind("name", str(listen.Name))}, a...)
		}
		l = append(l, a)
	}
	return l, nil
}

// port is an instance's port for a listen: its version's or the listen's own
// where the HCL fixes one, else the lock's.
func (c *hostCompiler) port(i instance, l *spec.Listen) (int, error) {
	if i.version.Port != 0 && l == i.service.Listens[0] {
		return i.version.Port, nil
	}
	if l.Port != 0 {
		return l.Port, nil
	}
	if port := c.lock.Port(i.service.Name, i.version.Name, l.Name, i.number); port != 0 {
		return port, nil
	}
	return 0, fmt.Errorf("%s: the lock has no port for %s", orPlace(l.Place, i.service.Place), i.name)
}
