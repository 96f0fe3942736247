package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// commandNames are the variables that commands may name.
type commandNames struct {
	variants []variantNames
	ports    bool // the service has a listen
	unsure   bool // something that gives names was refused: unknown ones are not told
}

// variantNames are the variables that one version of a service gets.
type variantNames struct {
	version string // "" without versions
	names   []string
}

// of narrows to the versions for which keep holds, or to all if there is none.
func (n commandNames) of(keep func(version string) bool) commandNames {
	var kept []variantNames
	for _, v := range n.variants {
		if keep(v.version) {
			kept = append(kept, v)
		}
	}
	if kept != nil {
		n.variants = kept
	}
	return n
}

// lacking are the versions that do not get a variable.
func (n commandNames) lacking(name string) []variantNames {
	var lacking []variantNames
	for _, v := range n.variants {
		if !slices.Contains(v.names, name) {
			lacking = append(lacking, v)
		}
	}
	return lacking
}

// commandNames gathers the names of a service's commands.
func (d *decoder) commandNames(s *Service, b *block) commandNames {
	n := commandNames{ports: len(s.Listens) > 0, unsure: b.refused["version"]}
	for _, inner := range append(b.all("version"), b) {
		for _, name := range []string{"env", "secrets", "secret_env", "listen"} {
			n.unsure = n.unsure || inner.refused[name] || inner.has(name) && !d.readable(inner.attrs[name])
		}
	}
	n.unsure = n.unsure || unnamed(b)
	unknown := slices.Clone(s.SecretEnv)
	for _, v := range s.Variants() {
		unknown = slices.DeleteFunc(unknown, func(name string) bool { return v.Secrets[name] != nil })
		names := slices.Concat(givenVariables(s), slices.Collect(maps.Keys(v.Env)))
		for secret := range v.Secrets {
			names = append(names, secret+"_FILE")
			if slices.Contains(s.SecretEnv, secret) {
				names = append(names, secret)
			}
		}
		n.variants = append(n.variants, variantNames{v.Name, names})
	}
	n.unsure = n.unsure || len(unknown) > 0 // NM0313, and another name may have been meant
	return n
}

// unnamed says whether the name of a listen was refused: others may mean it.
func unnamed(b *block) bool {
	return slices.ContainsFunc(b.all("listen"), func(l *block) bool { return l.refused["name"] })
}

// readable says whether a map or list could be read as one.
func (d *decoder) readable(a *attr) bool {
	v, ok := d.value(a)
	if !ok || v.IsNull() {
		return false
	}
	t := v.Type()
	if a.schema.typ == typeTexts {
		return t.IsTupleType() || t.IsListType() || t.IsSetType()
	}
	return t.IsObjectType() || t.IsMapType()
}

// givenVariables are the names that every command of a service may use.
func givenVariables(s *Service) []string {
	names := []string{"STATE_DIRECTORY", "CACHE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY",
		"NIXMESH_HOST", "NIXMESH_SERVICE", "NIXMESH_VERSION"}
	if len(s.Listens) > 0 {
		names = append(names, "PORT")
	}
	for _, l := range s.Listens {
		if l.Name != "" {
			names = append(names, "PORT_"+variableOf(l.Name))
		}
	}
	return names
}

// commands decodes exec and before_start of a service, and exec of its versions.
// What the versions share has to be right for each of them.
func (d *decoder) commands(s *Service, b *block) commandNames {
	names := d.commandNames(s, b)
	if runsUnits(b) {
		return names // units have commands of their own: NM0302, NM0320
	}
	own := map[string]*block{}
	for _, v := range b.all("version") {
		if v.meant("exec") {
			own[v.label] = v
		}
	}
	s.Exec = d.command(b, "exec", names.of(func(version string) bool { return own[version] == nil }))
	for _, v := range s.Versions {
		v.Exec = s.Exec
		if vb := own[v.Name]; vb != nil {
			v.Exec = d.command(vb, "exec", names.of(func(version string) bool { return version == v.Name }))
		}
	}
	for _, it := range d.items(b, "before_start") {
		if c := d.asCommand(it, names); c != nil {
			s.BeforeStart = append(s.BeforeStart, c)
		}
	}
	return names
}

// command reads an argument that holds a command line.
func (d *decoder) command(b *block, name string, names commandNames) *Command {
	it, ok := d.item(b, name)
	if !ok {
		return nil
	}
	return d.asCommand(it, names)
}

func (d *decoder) asCommand(it item, names commandNames) *Command {
	text, ok := d.asText(it)
	if !ok {
		return nil
	}
	words, bad := splitCommand(text)
	if bad == nil {
		bad = firstWord(words[0])
	}
	if bad != nil {
		d.add(problem{code: bad.code, rng: d.part(it, bad.from, bad.to), block: it.a.title, detail: bad.detail, hint: bad.hint})
		return nil
	}
	c := &Command{Place: it.place()}
	for _, word := range words {
		parts := []Part{}
		for _, p := range word {
			if p.Var != "" && !names.unsure {
				d.checkVariable(it, p, names)
			}
			parts = append(parts, p.Part)
		}
		c.Words = append(c.Words, parts)
	}
	return c
}

// checkVariable reports a variable that the command does not get, or not in
// every version that runs it (NM0303).
func (d *decoder) checkVariable(it item, p piece, names commandNames) {
	lacking := names.lacking(p.Var)
	if len(lacking) == 0 {
		return
	}
	bad := problem{code: "NM0303", block: it.a.title}
	if d.full() {
		d.add(bad)
		return
	}
	bad.rng = d.part(it, p.from, p.to)
	switch first := lacking[0]; {
	case len(lacking) < len(names.variants):
		bad.detail = fmt.Sprintf("$%s is not a name that version %q gets.", p.Var, first.version)
		bad.hint = fmt.Sprintf("add %s to env or secrets of that version, or of the service", p.Var)
	default:
		bad.detail = fmt.Sprintf("$%s is not a name that this command gets.", p.Var)
		bad.hint = didYouMean(p.Var, first.names, "the names are")
		if (p.Var == "PORT" || strings.HasPrefix(p.Var, "PORT_")) && !names.ports {
			bad.hint = `add listen "http" {}, which gives $PORT`
		}
		if slices.Contains(first.names, p.Var+"_FILE") {
			bad.hint = fmt.Sprintf("the secret is the file $%s_FILE; secret_env = [%q] makes it a variable, too", p.Var, p.Var)
		}
	}
	d.add(bad)
}
