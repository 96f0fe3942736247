package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/trust"
)

// checkSecrets holds the age files: they are there (NM0603), and for the hosts
// that need them and no others (NM0604). In the lab others stand in for them.
func (d *decoder) checkSecrets(p *pairs) {
	if d.noAgeFiles {
		return
	}
	files := p.f.AgeFiles()
	if len(files) == 0 {
		return
	}
	places, keys, sure := p.agePlaces(), d.recipients(p), d.allPlaced(p)
	for _, f := range files {
		if at, named := places[f.File]; p.f.ofCA(f.File) && named {
			d.add(problem{code: "NM0604", rng: at.rng, block: at.block, detail: fmt.Sprintf("%s is the mesh's own; no service may have it.", f.File),
				hint: "keep the secret in another file"})
			continue
		}
		if f.CA {
			continue // no host opens it, and operators may keep it elsewhere
		}
		header, err := trust.AgeRecipients(filepath.Join(d.dir, filepath.FromSlash(f.File)))
		if err != nil {
			d.notAge(f, places[f.File], err)
			continue
		}
		if faults := wrongRecipients(f, header, keys, sure); faults != nil {
			at, named := places[f.File]
			if !named {
				at = agePlace{rng: fileStart(LockFile)}
			}
			d.add(problem{code: "NM0604", rng: at.rng, block: at.block, detail: fmt.Sprintf("%s is %s.", f.File, strings.Join(faults, ", and ")),
				hint: "nixmesh secret rekey encrypts it for those that need it"})
		}
	}
}

// allPlaced says whether everything that could need a file has its hosts.
func (d *decoder) allPlaced(p *pairs) bool {
	sure := !p.top.refused["service"] && !p.top.refused["gateway"] && !p.top.refused["external"]
	for i, s := range p.f.Services {
		sure = sure && d.placed(s, p.services[i])
	}
	for _, g := range p.f.Gateways {
		sure = sure && len(g.On) > 0
	}
	return sure
}

// notAge reports a file that is missing or no age file.
func (d *decoder) notAge(f AgeFile, at agePlace, err error) {
	bad := problem{code: "NM0603", rng: at.rng, block: at.block, detail: fmt.Sprintf("%s cannot be read: %v.", f.File, err), hint: "nixmesh secret set " + f.File}
	var unreadable *fs.PathError
	switch {
	case f.File == GossipFile:
		bad.rng = fileStart(LockFile)
		bad.detail, bad.hint = fmt.Sprintf("The fleet has a CA, and its %s cannot be read: %v.", f.File, err), "take the file from version control"
		if errors.Is(err, fs.ErrNotExist) {
			bad.detail = fmt.Sprintf("The fleet has a CA, and there is no %s.", f.File)
		}
	case errors.Is(err, fs.ErrNotExist):
		bad.detail = fmt.Sprintf("There is no %s.", f.File)
		if near := nearestFile(d.dir, f.File); near != "" {
			bad.hint = fmt.Sprintf("did you mean %q? Else nixmesh secret set %s", near, f.File)
		}
	case errors.Is(err, trust.ErrNotAge):
		bad.detail = fmt.Sprintf("%s is not an age file, or damaged.", f.File)
		bad.hint += " writes it anew; if it held the secret in clear text, change the secret, too"
	case errors.As(err, &unreadable):
		bad.detail = fmt.Sprintf("%s cannot be read: %v.", f.File, unreadable.Err)
	}
	d.add(bad)
}

// recipients are whom the tags of SSH recipients in age files may mean.
type recipients struct {
	hosts     map[string]string // host -> tag
	operators map[string]bool   // tags
	all       bool              // the key of every host is known
}

// recipients gathers the keys of hosts, from the spec or the lock, and those of
// operators.
func (d *decoder) recipients(p *pairs) recipients {
	r := recipients{hosts: map[string]string{}, operators: map[string]bool{}, all: !d.hostsUnsure}
	lock, _ := ReadLock(d.dir) // its own mistakes are told where it is read to be used
	for _, h := range p.f.Hosts {
		key := h.HostKey
		if key == "" && lock != nil {
			key = lock.HostKey(h.Name)
		}
		tag, err := trust.SSHTag(key)
		if key == "" || err != nil {
			r.all = false
			continue
		}
		r.hosts[h.Name] = tag
	}
	for _, o := range p.f.Operators {
		if tag, err := trust.SSHTag(o.Age); err == nil {
			r.operators[tag] = true
		}
	}
	return r
}

// wrongRecipients compares the hosts that can open a file with those that need
// it, and says what does not fit. Hosts without a known key are left out; those
// that need nothing are told if it is sure what needs the file.
func wrongRecipients(f AgeFile, header trust.AgeHeader, r recipients, sure bool) []string {
	var missing, more, faults []string
	known, opens, needs := maps.Clone(r.operators), map[string]bool{}, map[string]bool{}
	markAll(opens, header.SSHTags)
	markAll(needs, f.Hosts)
	for _, host := range slices.Sorted(maps.Keys(r.hosts)) {
		tag := r.hosts[host]
		known[tag] = true
		switch {
		case needs[host] && !opens[tag]:
			missing = append(missing, host)
		case !needs[host] && opens[tag] && sure && !r.operators[tag]:
			more = append(more, host)
		}
	}
	if missing != nil {
		faults = append(faults, "not encrypted for "+strings.Join(missing, ", ")+", where it is needed")
	}
	if more != nil {
		faults = append(faults, "encrypted for "+strings.Join(more, ", ")+", where nothing needs it")
	}
	strange := slices.DeleteFunc(slices.Clone(header.SSHTags), func(tag string) bool { return known[tag] })
	if len(strange) > 0 && r.all && missing == nil {
		faults = append(faults, fmt.Sprintf("encrypted for %d key(s) that no host and no operator has", len(strange)))
	}
	return faults
}
