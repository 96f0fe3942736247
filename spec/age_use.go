package spec

import (
	"maps"
	"slices"
	"strings"
)

// AgeFile is an age file of a fleet, and who needs it.
type AgeFile struct {
	File  string   // below the fleet's folder
	Users []string // `service "api"`, `gateway "public"`, sorted; "CA", "agents"
	Hosts []string // where it is opened, sorted
	CA    bool     // for the operators with ca = true only
}

// AgeFiles are the age files of a fleet by name: secrets of services, keys of
// gateways and externals, and what ca init made.
func (f *Fleet) AgeFiles() []AgeFile {
	users, hosts := map[string]map[string]bool{}, map[string]map[string]bool{}
	add := func(file, user string, on []string) {
		if file == "" || f.ofCA(file) {
			return // put there by something else; a file of the CA's is for nobody else
		}
		if users[file] == nil {
			users[file], hosts[file] = map[string]bool{}, map[string]bool{}
		}
		users[file][user] = true
		markAll(hosts[file], on)
	}
	for _, s := range f.Services {
		for _, v := range s.Variants() {
			for _, secret := range v.Secrets {
				add(secret.File, `service "`+s.Name+`"`, v.On)
			}
		}
	}
	for _, g := range f.Gateways {
		add(g.Key, `gateway "`+g.Name+`"`, g.On)
		for _, tls := range g.TLS {
			add(tls.Key, `gateway "`+g.Name+`"`, g.On)
		}
	}
	for _, e := range f.Externals {
		if e.Key != "" {
			add(e.Key, `external "`+e.Name+`"`, externalHosts(f, e))
		}
	}
	all := f.caFiles()
	for _, file := range slices.Sorted(maps.Keys(users)) {
		all = append(all, AgeFile{File: file, Users: slices.Sorted(maps.Keys(users[file])), Hosts: slices.Sorted(maps.Keys(hosts[file]))})
	}
	slices.SortFunc(all, func(a, b AgeFile) int { return strings.Compare(a.File, b.File) })
	return all
}
