package main

import (
	"fmt"
	"strings"

	"github.com/nixmesh/nixmesh/spec"
)

func (s *shower) service(sv *spec.Service) *node {
	path := "service." + sv.Name
	n := &node{kind: "service", label: sv.Name, place: where(sv.Place)}
	b := s.args(path).set("on", sv.On)
	if sv.Package != nil {
		b.set("package", packageText(sv.Package)).set("exec", commandText(sv.Exec))
		b.list = append(b.list, s.user("nm-"+sv.Name))
	} else {
		b.set("unit", sv.Unit)
		user := shownArg{name: "user"}
		if sv.User != "" {
			user = s.user(sv.User)
		}
		b.list = append(b.list, user)
	}
	n.args = b.add("env", sv.Env).add("harden", sv.Harden).add("nixos", orMap(sv.Nixos)).add("imports", imported(sv.Imports)).list
	for i, l := range sv.Listens {
		n.inner = append(n.inner, s.listen(fmt.Sprintf("%s.listen[%d]", path, i), sv.Name, l))
	}
	for i, c := range sv.Checks {
		n.inner = append(n.inner, s.check(fmt.Sprintf("%s.check[%d]", path, i), c))
	}
	limits := s.args(path+".limits").set("memory", sizeText(sv.Limits.Memory)).set("cpu", cpuText(sv.Limits.CPU)).
		set("tasks", sv.Limits.Tasks).add("files", sv.Limits.Files)
	n.inner = append(n.inner, &node{kind: "limits", args: limits.list}, s.serviceRollout(path+".rollout", sv))
	return n
}

// user is the user that runs a service, with its uid when the lock has one.
func (s *shower) user(name string) shownArg {
	arg := shownArg{name: "user", value: name}
	if uid := s.lock.UID(name); uid != 0 {
		arg.note = fmt.Sprintf("uid %d, nixmesh.lock", uid)
	}
	return arg
}

func (s *shower) listen(path, service string, l *spec.Listen) *node {
	n := &node{kind: "listen", label: l.Protocol, place: where(l.Place)}
	port := shownArg{name: "port", value: l.Port}
	if l.Port == 0 {
		port.value, port.note = nil, "not allocated yet: nixmesh lock"
		if p := s.lock.Port(service, l.Name); p != 0 {
			port.value, port.note = p, "nixmesh.lock"
		}
	}
	n.args = append([]shownArg{port}, s.args(path).set("name", l.Name).add("address", l.Address).list...)
	return n
}

func (s *shower) check(path string, c *spec.Check) *node {
	n := &node{kind: "check", place: where(c.Place)}
	b := s.args(path)
	switch c.Kind {
	case "http":
		b.set("http", c.HTTP)
	case "tcp":
		b.list = append(b.list, shownArg{name: "tcp", value: true})
	case "grpc":
		b.list = append(b.list, shownArg{name: "grpc", value: c.GRPC})
	case "exec":
		b.set("exec", commandText(c.Exec))
		if c.Package != nil {
			b.set("package", packageText(c.Package))
		}
	}
	if c.Kind != "exec" {
		b.add("listen", c.Listen).or("the first")
	}
	n.args = b.add("every", spec.DurationText(c.Every)).add("timeout", spec.DurationText(c.Timeout)).add("rise", c.Rise).add("fall", c.Fall).add("after", spec.DurationText(c.After)).list
	return n
}

// serviceRollout fills in what the fleet's rollout says.
func (s *shower) serviceRollout(path string, sv *spec.Service) *node {
	r, f := sv.Rollout, s.loaded.Fleet.Rollout
	confirm, settle := f.Confirm, f.Settle
	if s.loaded.Written(path + ".confirm") {
		confirm = r.Confirm
	}
	if s.loaded.Written(path + ".settle") {
		settle = r.Settle
	}
	healthy := r.MinHealthy
	if healthy < 0 {
		healthy = len(sv.On) - 1
	}
	b := s.args(path).inherit("confirm", spec.DurationText(confirm), "fleet.rollout").inherit("settle", spec.DurationText(settle), "fleet.rollout").
		add("min_healthy", healthy).add("drain", spec.DurationText(r.Drain)).add("stop", spec.DurationText(r.Stop))
	return &node{kind: "rollout", args: b.list}
}

func packageText(p *spec.Package) string {
	if p.Input != "" {
		return p.Input + "#" + p.Attr
	}
	return p.Attr
}

// commandText is a command as it may be written: words quoted where they need it.
func commandText(c *spec.Command) string {
	if c == nil {
		return ""
	}
	words := make([]string, len(c.Words))
	for i, word := range c.Words {
		var text strings.Builder
		quote := len(word) == 0
		for _, p := range word {
			if p.Var != "" {
				text.WriteString("${" + p.Var + "}")
				continue
			}
			quote = quote || strings.ContainsAny(p.Text, " \t\n'|&;<>()`*?#~")
			text.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", "$", "$$").Replace(p.Text))
		}
		words[i] = text.String()
		if quote {
			words[i] = `"` + words[i] + `"`
		}
	}
	return strings.Join(words, " ")
}

// sizeText is a size as the HCL writes it, "" for 0.
func sizeText(n int64) string {
	if n == 0 {
		return ""
	}
	for _, u := range []struct {
		shift uint
		name  string
	}{{40, "TiB"}, {30, "GiB"}, {20, "MiB"}} {
		if n%(1<<u.shift) == 0 {
			return fmt.Sprintf("%d%s", n>>u.shift, u.name)
		}
	}
	return fmt.Sprintf("%dKiB", n>>10)
}

func cpuText(p float64) string {
	if p == 0 {
		return ""
	}
	return percentText(p)
}
