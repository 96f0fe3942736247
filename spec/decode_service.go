package spec

import (
	"slices"
)

// service decodes a service with its versions, and holds the rules that need
// nothing else. Rules over several blocks follow when all are decoded: see fleetOf.
func (d *decoder) service(f *Fleet, b *block) *Service {
	d.required(b)
	s := &Service{Name: b.label, Place: b.place(), On: d.on(f, b)}
	d.program(f, s, b)
	d.lifecycle(s, b)
	s.Env, s.EnvPlace = d.env(b)
	s.Secrets = d.secrets(b)
	s.SecretEnv, _ = d.texts(b, "secret_env")
	s.Imports = d.imports(f, b)
	s.Nixos, s.NixosPlace = d.nixos(b)
	d.listens(s, b)
	for _, v := range b.all("version") {
		s.Versions = append(s.Versions, d.serviceVersion(f, s, v))
	}
	d.split(s, b)
	s.Sticky = d.matching(b, "sticky", "", cookieName, "a cookie's name", "")
	names := d.commands(s, b)
	for _, c := range b.all("check") {
		s.Checks = append(s.Checks, d.check(f, s, b, c, names))
	}
	d.canary(s, b)
	d.upstreams(s, b)
	d.allows(s, b)
	d.routes(s, b)
	s.Limits = d.limits(b.one("limits"), runsUnits(b))
	s.Rollout = d.serviceRollout(b.one("rollout"), runsUnits(b))
	d.checkService(s, b)
	return s
}

// cookieName is a token of RFC 9110, which RFC 6265 asks of a cookie's name.
const cookieName = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"

// program decodes what runs, as whom, and in which sandbox.
func (d *decoder) program(f *Fleet, s *Service, b *block) {
	s.Package = d.pkg(f, b)
	if a := b.attrs["package"]; a != nil {
		s.PackagePlace = a.place()
	}
	s.Unit = d.unit(b)
	s.User = d.matching(b, "user", "", `^[a-z_][a-z0-9_-]{0,30}$`, "a user's name", `user = "postgres"`)
	harden, egress := "default", "declared"
	if runsUnits(b) {
		harden, egress = "off", "open"
	}
	s.Harden = d.choiceOr(b, "harden", harden)
	s.Egress = d.choiceOr(b, "egress", egress)
	s.JIT = d.boolean(b, "jit")
	s.MTLS = d.choice(b, "mtls")
}

func (d *decoder) unit(b *block) string {
	return d.matching(b, "unit", "", `^[A-Za-z0-9:_.@\\-]+\.service$`, "the name of a service's unit", `unit = "postgresql.service"`)
}

// runsUnits says whether a service, or one of its versions, was meant to be a
// unit that something else defines.
func runsUnits(b *block) bool {
	return b.meant("unit") || slices.ContainsFunc(b.all("version"), func(v *block) bool { return v.meant("unit") })
}

// lifecycle decodes when and how often the service is started.
func (d *decoder) lifecycle(s *Service, b *block) {
	s.Restart = d.choice(b, "restart")
	s.Instances = d.whole(b, "instances")
	s.Schedule = d.schedule(b)
	texts, entries := d.texts(b, "start_after")
	for i, text := range texts {
		a := After{Place: entries[i].place(), Service: text}
		if isTarget(text) {
			a.Service, a.Target = "", text
		}
		s.StartAfter = append(s.StartAfter, a)
	}
}
