package main

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/controlplane/gossip"
	"github.com/nixmesh/nixmesh/spec"
)

// recipients are those for whom one age file has to be.
type recipients struct {
	file      spec.AgeFile
	operators []string // names of those with an age key
	keys      []string // of operators and hosts, as age takes them
	unknown   []string // hosts that need the file and whose key nobody has pinned
}

// toWrite are the recipients of a file that a person is about to write.
func (f *fleet) toWrite(name string) (recipients, error) {
	r := f.recipientsOf(f.ageFile(name))
	if r.file.CA {
		return r, refusef("%s is the CA's root, which nixmesh ca init made; nothing was written", name)
	}
	return r, r.complete()
}

// check says whether a text may become the file's: gossip keys have a form.
func (r recipients) check(text []byte) error {
	if r.file.File != spec.GossipFile {
		return nil
	}
	if _, err := gossip.ParseKeys(text); err != nil {
		return fmt.Errorf("%s: %w; nothing was written", r.file.File, err)
	}
	return nil
}

// path is the file on disk.
func (f *fleet) path(file string) string {
	return filepath.Join(f.spec.Dir, filepath.FromSlash(file))
}

// ageFile finds a file by its name. One that the HCL does not name is for the
// operators alone.
func (f *fleet) ageFile(name string) spec.AgeFile {
	all := f.spec.AgeFiles()
	if i := slices.IndexFunc(all, func(a spec.AgeFile) bool { return a.File == name }); i >= 0 {
		return all[i]
	}
	return spec.AgeFile{File: name}
}

// recipientsOf says for whom a file has to be.
func (f *fleet) recipientsOf(file spec.AgeFile) recipients {
	r := recipients{file: file}
	for _, op := range f.spec.Operators {
		if op.Age != "" && (op.CA || !file.CA) {
			r.operators, r.keys = append(r.operators, op.Name), append(r.keys, op.Age)
		}
	}
	for _, name := range r.file.Hosts {
		if key := f.hostKey(name); key != "" {
			r.keys = append(r.keys, key)
		} else {
			r.unknown = append(r.unknown, name)
		}
	}
	return r
}

// hostKey is a host's pinned key, "" where there is none.
func (f *fleet) hostKey(name string) string {
	target, err := f.target(name)
	if err != nil {
		return ""
	}
	return target.HostKey
}

// complete refuses a file that some host could not open.
func (r recipients) complete() error {
	if len(r.unknown) > 0 {
		next := make([]string, len(r.unknown))
		for i, host := range r.unknown {
			next[i] = "nixmesh host trust " + host
		}
		return refusef("%s is needed on %s, and no SSH host key is known of %s; nothing was written\nNext: %s",
			r.file.File, strings.Join(r.file.Hosts, ", "), strings.Join(r.unknown, ", "), strings.Join(next, " && "))
	}
	if len(r.keys) == 0 {
		return refusef("nobody could open %s: no operator has an age key, and nothing in the HCL names it; nothing was written\n"+
			"Next: add age = \"age1…\" to your operator block (age-keygen makes a key)", r.file.File)
	}
	return nil
}

// String is "operators anna, bert and hosts app1, app2".
func (r recipients) String() string {
	var parts []string
	if len(r.operators) > 0 {
		parts = append(parts, nouns(len(r.operators), "operator")+" "+strings.Join(r.operators, ", "))
	}
	if len(r.file.Hosts) > 0 {
		parts = append(parts, nouns(len(r.file.Hosts), "host")+" "+strings.Join(r.file.Hosts, ", "))
	}
	return strings.Join(parts, " and ")
}

// nouns is a noun with the s that its number asks for.
func nouns(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// secretFile is a FILE argument as the HCL names it.
func secretFile(arg string) (string, error) {
	name := path.Clean(filepath.ToSlash(arg))
	if !filepath.IsLocal(arg) || name == "." {
		return "", usageErrorf("%q is no file below the fleet's folder", arg)
	}
	if path.Ext(name) != ".age" {
		return "", usageErrorf("%q is no age file: its name ends in .age", arg)
	}
	return name, nil
}

// refusef is a refusal: exit 6.
func refusef(format string, args ...any) error {
	return &exitError{code: exitRefused, err: fmt.Errorf(format, args...)}
}
