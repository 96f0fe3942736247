package catalog

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/mesh"
)

// State is how callers should take an endpoint.
type State uint8

// States of endpoints, the worst first.
const (
	StateUnhealthy State = iota + 1
	StateDraining        // nothing new
	StateDegraded        // others first
	StateHealthy
)

func (s State) String() string {
	return [...]string{"unknown", "unhealthy", "draining", "degraded", "healthy"}[min(s, StateHealthy)]
}

// Endpoint is one version of a service on one host, as callers see it: the host's
// proxy spreads calls over the copies.
type Endpoint struct {
	Service, Version, Host string
	Address                string // of the mesh configuration
	Port                   uint16 // of the host's mTLS listener
	Zone                   string
	State                  State
	Ready, Copies          int // copies that are healthy and not draining; all
	Standing               Standing
	Flapping               bool // it got well too often lately: others first for a while
	Since                  time.Time
	Reason                 string // why it is not healthy
}

// Endpoints are those of a service: on the hosts where the configuration places
// it and the host says it runs, by version and host. Both have to say so; what
// only one says is Pending.
func (c *Catalog) Endpoints(now time.Time, config *mesh.Config, service string) []Endpoint {
	s := config.Services[service]
	if s == nil {
		return nil
	}
	var list []Endpoint
	for i := range s.Versions {
		for _, host := range s.Versions[i].Hosts {
			if e, ok := c.endpoint(now, config, service, s.Versions[i].Name, host); ok {
				list = append(list, e)
			}
		}
	}
	return list
}

// Endpoint is the one of a version of a service on a host. It looks at nothing
// else, so one change costs one look.
func (c *Catalog) Endpoint(now time.Time, config *mesh.Config, service, version, host string) (Endpoint, bool) {
	s := config.Services[service]
	if s == nil {
		return Endpoint{}, false
	}
	if v := s.Version(version); v == nil || !slices.Contains(v.Hosts, host) {
		return Endpoint{}, false
	}
	return c.endpoint(now, config, service, version, host)
}

// endpoint is that of a placement of the configuration.
func (c *Catalog) endpoint(now time.Time, config *mesh.Config, service, version, host string) (Endpoint, bool) {
	place, o := config.Hosts[host], c.owners[host]
	if place == nil || o == nil || o.liveness.standing == Removed {
		return Endpoint{}, false
	}
	record := o.current(Key{KindService, service})
	if record == nil || record.service == nil {
		return Endpoint{}, false
	}
	e := Endpoint{
		Service: service, Version: version, Host: host,
		Address: place.Address, Port: DefaultPort, Zone: place.Zone, Standing: o.liveness.standing,
	}
	draining := c.overrides.drained(now, host, service)
	if own := c.Host(host); own != nil {
		draining = draining || own.Draining
		if own.Port != 0 {
			e.Port = own.Port
		}
	}
	alive := 0
	for i := range record.service.Instances {
		if in := &record.service.Instances[i]; in.Version == version {
			e.add(in)
			if in.Health == Healthy {
				alive++
			}
		}
	}
	d := o.flaps[flapKey{service, version}]
	e.Flapping = d != nil && d.held
	e.judge(alive, draining)
	return e, e.Copies > 0
}

// DefaultPort is where a host's proxy takes mTLS unless the host says otherwise.
const DefaultPort = 15443

// add counts a copy. Since and Reason are those of the latest change.
func (e *Endpoint) add(in *Instance) {
	e.Copies++
	if in.Health == Healthy && !in.Draining {
		e.Ready++
	}
	if in.Since.After(e.Since) {
		e.Since = in.Since
	}
	if in.Reason != "" && in.Health != Healthy {
		e.Reason = in.Reason
	}
}

// judge gives the state: the worst that is true.
func (e *Endpoint) judge(alive int, draining bool) {
	switch {
	case e.Standing == Down:
		e.State = StateUnhealthy
		e.Reason = "the host does not answer"
	case alive == 0:
		e.State = StateUnhealthy
	case draining || e.Ready == 0:
		e.State = StateDraining
	case e.Flapping:
		e.State = StateDegraded // not unhealthy: it may be the only one
		e.Reason = "it gets well and ill again and again"
	case e.Standing == Doubtful:
		e.State = StateDegraded
	default:
		e.State = StateHealthy
	}
}

// Pending is what only one of two says: the mesh configuration and the host.
type Pending struct {
	Host, Service, Version string
	Why                    PendingWhy
}

// PendingWhy says what is missing.
type PendingWhy string

// What may be missing.
const (
	NotDeployed   PendingWhy = "placed there, but the host does not run it yet"
	NotConfigured PendingWhy = "the host runs it, but the mesh configuration does not place it there"
	NotHeard      PendingWhy = "placed there, but the host has not been heard of"
	NotReadable   PendingWhy = "what the host says of it cannot be read by this agent"
)

// Pending lists what configuration and hosts do not agree about, by host, service
// and version. It is never an error: a deploy makes it so for a while.
func (c *Catalog) Pending(config *mesh.Config) []Pending {
	var list []Pending
	for _, host := range slices.Sorted(maps.Keys(c.owners)) {
		list = append(list, c.owners[host].pending(config)...)
	}
	slices.SortFunc(list, comparePending)
	return list
}

func (o *owner) pending(config *mesh.Config) (list []Pending) {
	heard := o.current(Key{Kind: KindHost}) != nil
	for name, s := range config.Services {
		record := o.current(Key{KindService, name})
		for i := range s.Versions {
			v := &s.Versions[i]
			if !slices.Contains(v.Hosts, o.name) {
				continue
			}
			p := Pending{Host: o.name, Service: name, Version: v.Name}
			switch {
			case record != nil && record.service == nil:
				p.Why = NotReadable
			case record != nil && slices.Contains(record.service.versions(), v.Name):
				continue
			case heard:
				p.Why = NotDeployed
			default:
				p.Why = NotHeard
			}
			list = append(list, p)
		}
	}
	for _, record := range o.shown() {
		if record.service == nil {
			continue
		}
		for _, version := range record.service.versions() {
			s := config.Services[record.Name]
			if s != nil {
				if v := s.Version(version); v != nil && slices.Contains(v.Hosts, o.name) {
					continue
				}
			}
			list = append(list, Pending{o.name, record.Name, version, NotConfigured})
		}
	}
	return list
}

// shown are the records that count.
func (o *owner) shown() []*entry {
	list := make([]*entry, 0, len(o.records)+len(o.leftovers))
	for _, records := range []map[Key]*entry{o.records, o.leftovers} {
		for key := range records {
			if e := o.current(key); e == records[key] && e != nil {
				list = append(list, e)
			}
		}
	}
	return list
}

// Splits are the hashes of a configuration's splits, for overrides.
func Splits(config *mesh.Config) func(service string) [8]byte {
	return func(service string) [8]byte { return SplitHash(config.Services[service]) }
}

// SplitHash names the split that the configuration gives a service.
func SplitHash(s *mesh.Service) [8]byte {
	var b []byte
	if s != nil {
		for _, version := range slices.Sorted(maps.Keys(s.Split)) {
			b = appendBytes(b, version)
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(float64(s.Split[version])))
		}
	}
	h := sha256.Sum256(b)
	return [8]byte(h[:8])
}

func comparePending(a, b Pending) int {
	return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Version, b.Version))
}
