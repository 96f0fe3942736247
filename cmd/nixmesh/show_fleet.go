package main

import (
	"fmt"
	"strconv"

	"github.com/nixmesh/nixmesh/spec"
)

// shower turns the fleet into what show prints.
type shower struct {
	loaded *spec.Loaded
	lock   *spec.Lock
}

// args builds the arguments of one block, whose path tells which were written.
type args struct {
	s    *shower
	path string
	list []shownArg
}

func (s *shower) args(path string) *args { return &args{s: s, path: path} }

// add shows an argument that has a default.
func (b *args) add(name string, value any) *args {
	b.list = append(b.list, shownArg{name: name, value: value, isDefault: !b.s.loaded.Written(b.path + "." + name)})
	return b
}

// or gives the text that is printed when the last argument is "".
func (b *args) or(text string) *args {
	if last := &b.list[len(b.list)-1]; last.value == "" {
		last.text = text
	}
	return b
}

// inherit shows an argument whose default is the fleet's.
func (b *args) inherit(name string, value any, fleetPath string) *args {
	written := b.s.loaded.Written(b.path + "." + name)
	fromFleet := !written && b.s.loaded.Written(fleetPath+"."+name)
	a := shownArg{name: name, value: value, isDefault: !written && !fromFleet}
	if fromFleet {
		a.note = "from the fleet"
	}
	b.list = append(b.list, a)
	return b
}

// set shows an argument without default; "" and empty lists are unset.
func (b *args) set(name string, value any) *args {
	switch v := value.(type) {
	case string:
		if v == "" {
			value = nil
		}
	case int:
		if v == 0 {
			value = nil
		}
	case int64:
		if v == 0 {
			value = nil
		}
	}
	b.list = append(b.list, shownArg{name: name, value: value})
	return b
}

func where(p spec.Place) string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

func (s *shower) fleet(f *spec.Fleet) *node {
	n := &node{kind: "fleet", label: f.Name, place: where(f.Place)}
	n.args = s.args("fleet").set("nixpkgs", f.Nixpkgs).add("inputs", f.Inputs).add("overlays", relative(f.Overlays)).
		add("nixmesh", f.Constraint).or("any").add("domain", f.Domain).add("keep_releases", f.KeepReleases).list
	r := f.Rollout
	rollout := &node{kind: "rollout"}
	b := s.args("fleet.rollout").add("order", f.Rollout.OrderText)
	if len(r.OrderText) == 1 && r.OrderText[0] == "" {
		b.list[0].value = []string{}
	}
	b.list = append(b.list, shownArg{name: "waves", value: r.Order})
	rollout.args = b.add("parallel", parallel(r)).add("confirm", spec.DurationText(r.Confirm)).add("settle", spec.DurationText(r.Settle)).
		add("activate_timeout", spec.DurationText(r.ActivateTimeout)).add("soak", spec.DurationText(r.Soak)).add("on_fail", r.OnFail).
		add("max_failed", r.MaxFailed).add("last_resort", r.LastResort).list
	n.inner = append(n.inner, s.ssh("fleet.ssh", "fleet.ssh", f.SSH), rollout)
	for _, o := range f.Operators {
		on := &node{kind: "operator", label: o.Name, place: where(o.Place)}
		on.args = s.args("operator."+o.Name).set("ssh", o.SSH).add("sign", o.Sign).set("nix_key", o.NixKey).set("age", o.Age).list
		n.inner = append(n.inner, on)
	}
	for _, h := range f.Hosts {
		n.inner = append(n.inner, s.host(h))
	}
	for _, sv := range f.Services {
		n.inner = append(n.inner, s.service(sv))
	}
	return n
}

func (s *shower) ssh(path, fleetPath string, c spec.SSH) *node {
	b := s.args(path).inherit("user", c.User, fleetPath).inherit("port", c.Port, fleetPath).
		inherit("key", c.Key, fleetPath).or("the SSH agent's").inherit("jump", c.Jump, fleetPath).or("none")
	return &node{kind: "ssh", args: b.list}
}

func (s *shower) host(h *spec.Host) *node {
	path := "host." + h.Name
	key := h.HostKey
	note := ""
	if key == "" {
		if key = s.lock.HostKey(h.Name); key != "" {
			note = "nixmesh.lock"
		}
	}
	n := &node{kind: "host", label: h.Name, place: where(h.Place)}
	b := s.args(path).set("address", h.Address).add("tags", listed(h.Tags)).add("zone", h.Zone).or(`""`).set("ssh_host_key", key)
	b.list[len(b.list)-1].note = note
	n.args = b.add("system", h.System).set("config", h.Config).add("imports", imported(h.Imports)).add("nixos", orMap(h.Nixos)).
		add("build_on", h.BuildOn).list
	var runs []string
	for _, sv := range s.loaded.Fleet.Services {
		for _, on := range sv.On {
			if on == h.Name {
				runs = append(runs, sv.Name)
			}
		}
	}
	n.args = append(n.args, shownArg{name: "services", value: listed(runs)})
	n.inner = append(n.inner, s.ssh(path+".ssh", "fleet.ssh", h.SSH))
	return n
}

func listed(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

func imported(imports []spec.Import) []string {
	list := []string{}
	for _, i := range imports {
		if i.Input != "" {
			list = append(list, i.Input+"#"+i.Attr)
			continue
		}
		list = append(list, "./"+i.Path)
	}
	return list
}

// relative are paths of the fleet's folder as the HCL writes them.
func relative(paths []string) []string {
	list := []string{}
	for _, p := range paths {
		list = append(list, "./"+p)
	}
	return list
}

func orMap(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

func parallel(r spec.Rollout) any {
	if r.ParallelPct > 0 {
		return percentText(r.ParallelPct)
	}
	return r.Parallel
}

func percentText(p float64) string { return strconv.FormatFloat(p, 'f', -1, 64) + "%" }
