package compile

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/nixmesh/nixmesh/spec"
)

// placement is a service on one host, with the versions that run there.
type placement struct {
	service  *spec.Service
	versions []*spec.Version // in the order of the file; none where only its imports and options apply
}

// fleetIndex answers what every host asks, without looking at the whole fleet
// for each.
type fleetIndex struct {
	placements map[string][]placement // by host, in order of the services' names
	gateways   map[string][]*spec.Gateway
	edges      map[string][]spec.Edge // by the service that calls
	externals  map[string]*spec.External
	addresses  string // digest of all hosts' addresses, which the flake gives each
}

func indexOf(f *spec.Fleet) *fleetIndex {
	x := &fleetIndex{
		placements: make(map[string][]placement, len(f.Hosts)),
		gateways:   map[string][]*spec.Gateway{},
		edges:      map[string][]spec.Edge{},
		externals:  make(map[string]*spec.External, len(f.Externals)),
	}
	for _, s := range f.Services {
		on := map[string][]*spec.Version{}
		for _, v := range s.Variants() {
			for _, host := range v.On {
				on[host] = append(on[host], v)
			}
		}
		for _, host := range s.On {
			x.placements[host] = append(x.placements[host], placement{s, on[host]})
		}
	}
	for _, e := range f.Edges() {
		if e.CallerKind == "service" {
			x.edges[e.Caller] = append(x.edges[e.Caller], e)
		}
	}
	for _, g := range f.Gateways {
		for _, host := range g.On {
			x.gateways[host] = append(x.gateways[host], g)
		}
	}
	x.addresses = fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(addresses(f), "\n"))))
	for _, e := range f.Externals {
		x.externals[e.Name] = e
	}
	return x
}

// instance is one running copy of a version of a service on a host.
type instance struct {
	service *spec.Service
	version *spec.Version
	number  int    // from 1
	name    string // "web", "api@v1", "web@2": the key of services.nixmesh.instances
}

// unit is the systemd unit of the instance.
func (i instance) unit() string {
	if i.version.Unit != "" {
		return i.version.Unit
	}
	return i.name + ".service"
}

// instances are those of the placement, version by version.
func (p placement) instances() []instance {
	var all []instance
	for _, v := range p.versions {
		all = append(all, instancesOf(p.service, v)...)
	}
	return all
}

// instancesOf are the instances of a version on each of its hosts.
func instancesOf(s *spec.Service, v *spec.Version) []instance {
	var all []instance
	for number := 1; number <= max(s.Instances, 1); number++ {
		all = append(all, instance{s, v, number, spec.InstanceName(s.Name, v.Name, number)})
	}
	return all
}
