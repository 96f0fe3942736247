package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// labCA is the certificate of the lab's own authority: cert = "lab-ca".
const labCA = "lab-ca"

// oneLab is the one lab block of lab.hcl, nil without.
func (s *sink) oneLab(file *block) *block {
	labs := file.all("lab")
	if len(labs) == 0 {
		return nil
	}
	for _, b := range labs[1:] { // of lab.hcl and lab.hcl.json
		s.add(problem{code: "NM0107", rng: b.header, block: b.title, detail: fmt.Sprintf("There is a %q block at %s already.", b.kind, at(labs[0].header)), hint: "keep one of the two"})
	}
	return labs[0]
}

// intoLab gives the fleet the lab's operator, host keys and secrets.
func (d *decoder) intoLab(f *Fleet, lab *block, o Options) {
	f.Lab, f.LabSecrets = true, map[string]string{}
	f.CA.Root = "" // the lab has a CA of its own
	if lab != nil {
		d.labSecrets(f, lab)
	}
	if o.LabOperator != nil {
		f.onlyOperator(*o.LabOperator)
		f.LabOverrides = append(f.LabOverrides, fmt.Sprintf("operators: %s alone", o.LabOperator.Name))
	}
	if f.reachDirectly() {
		f.LabOverrides = append(f.LabOverrides, "ssh: no jump, the lab's key")
	}
	for _, h := range f.Hosts {
		if key, ok := o.LabHostKeys[h.Name]; ok {
			h.HostKey = key
		}
	}
	if len(o.LabHostKeys) > 0 {
		f.LabOverrides = append(f.LabOverrides, "host keys: the lab's")
	}
}

// onlyOperator puts one operator in the place of all: what they may reach, and
// what allows and routes say of them, is then said of that one.
func (f *Fleet) onlyOperator(one Operator) {
	for _, o := range f.Operators {
		one.Access = append(one.Access, o.Access...)
	}
	slices.Sort(one.Access)
	one.Access = slices.Compact(one.Access)
	f.Operators = []*Operator{&one}
	name := func(caller string) string {
		if strings.HasPrefix(caller, "operator/") {
			return "operator/" + one.Name
		}
		return caller
	}
	for _, s := range f.Services {
		for _, a := range s.Allows {
			a.Caller = name(a.Caller)
		}
		for _, r := range s.Routes {
			var from []string
			for _, caller := range r.From {
				if caller = name(caller); !slices.Contains(from, caller) {
					from = append(from, caller)
				}
			}
			r.From = from
		}
	}
}

// reachDirectly drops the way to the real hosts: a lab's hosts are on this
// machine, and a jump host would be a real one. The port stays: a system whose
// sshd listens elsewhere locks out in the lab as it would there. It says whether
// there was anything to drop.
func (f *Fleet) reachDirectly() (dropped bool) {
	direct := func(s *SSH) {
		was := *s
		s.Jump, s.Key = "", ""
		dropped = dropped || was != *s
	}
	direct(&f.SSH)
	for _, h := range f.Hosts {
		direct(&h.SSH)
	}
	return dropped
}

// labSecrets reads the clear texts that stand for age files in the lab. The files
// themselves need not be there yet.
func (d *decoder) labSecrets(f *Fleet, lab *block) {
	secrets := d.members(lab, "secrets")
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		text, ok := d.asText(secrets[name])
		if !ok {
			continue
		}
		file := path.Clean(name)
		if _, err := insideDir(d.dir, file); err != nil && !errors.Is(err, fs.ErrNotExist) || name == "" {
			d.add(problem{code: "NM0005", rng: secrets[name].rng, block: lab.title, detail: fmt.Sprintf("%q is no file of the fleet's folder.", name), hint: `for example "secrets/db.age"`})
			continue
		}
		f.LabSecrets[file] = text
	}
}

// absolute resolves a relative "path:" flake reference against the fleet's
// folder: the generated flake stands elsewhere.
func absolute(dir, ref string) string {
	rel, ok := strings.CutPrefix(ref, "path:")
	if !ok || rel == "" || filepath.IsAbs(rel) {
		return ref
	}
	rel, query, hasQuery := strings.Cut(rel, "?")
	ref = "path:" + filepath.Join(dir, rel)
	if hasQuery {
		ref += "?" + query
	}
	return ref
}
