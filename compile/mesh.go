package compile

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// Mesh is the mesh configuration of a checked fleet: what all hosts have to
// agree on. The lock says which host keys are trusted and who signs; ca is nil,
// or the CA that a lab has in place of the lock's.
func Mesh(f *spec.Fleet, l *spec.Lock, ca *CA) (*mesh.Config, error) {
	root, authorities := ca.of(l)
	c := &mesh.Config{
		Schema: mesh.Schema, Fleet: f.Name, Domain: f.Domain, Authorization: f.Authorization,
		CA: mesh.CA{
			LeafTTL: mesh.Duration(f.CA.LeafTTL), IntermediateTTL: mesh.Duration(f.CA.IntermediateTTL),
			Authorities: authorities,
		},
		Telemetry: mesh.Telemetry{AccessLog: f.Telemetry.AccessLog, OTLP: f.Telemetry.OTLP},
		Defaults:  meshDefaults(),
		Hosts:     map[string]*mesh.Host{},
		Services:  map[string]*mesh.Service{},
		Gateways:  map[string]*mesh.Gateway{},
		Externals: map[string]*mesh.External{},
		Operators: map[string]*mesh.Operator{},
	}
	if f.Telemetry.OTLP != "" {
		c.Telemetry.Sample = mesh.Percent(f.Telemetry.Sample)
	}
	var err error
	if c.TrustDomain, err = trustDomain(f.Name, root); err != nil {
		return nil, err
	}
	for _, h := range f.Hosts {
		key := h.HostKey
		if key == "" {
			key = l.HostKey(h.Name)
		}
		c.Hosts[h.Name] = &mesh.Host{Address: h.Address, Zone: h.Zone, HostKey: key}
	}
	for _, o := range f.Operators {
		if len(o.Access) > 0 {
			c.Operators[o.Name] = &mesh.Operator{Access: o.Access}
		}
	}
	for _, s := range f.Services {
		c.Services[s.Name] = meshService(s)
	}
	for _, x := range f.Externals {
		c.Externals[x.Name] = meshExternal(x)
	}
	for _, g := range f.Gateways {
		c.Gateways[g.Name] = meshGateway(f, g)
	}
	c.Edges = meshEdges(f)
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("compile mesh configuration: %w", err)
	}
	return c, nil
}

// meshDefaults is the patience of calls of which the spec says nothing.
func meshDefaults() map[string]mesh.Defaults {
	defaults := map[string]mesh.Defaults{}
	for _, protocol := range []string{"http", "http2", "grpc", "tcp", "redis", mesh.Upgraded} {
		p := spec.DefaultPatience(protocol)
		defaults[protocol] = mesh.Defaults{Timeout: mesh.Duration(p.Timeout), IdleTimeout: mesh.Duration(p.IdleTimeout)}
	}
	return defaults
}

// trustDomain is the fleet's name with the beginning of the root key's hash,
// "SHA256:BASE64" in the lock; "" before there is one.
func trustDomain(fleet, root string) (string, error) {
	if root == "" {
		return "", nil
	}
	sum, err := base64.RawStdEncoding.DecodeString(strings.TrimPrefix(root, "SHA256:"))
	if err != nil || len(sum) < 4 {
		return "", fmt.Errorf("%s: the fingerprint of the CA, %q, is none", spec.LockFile, root)
	}
	return fleet + "-" + hex.EncodeToString(sum[:4]) + ".nixmesh", nil
}

func meshExternal(x *spec.External) *mesh.External {
	out := &mesh.External{Protocol: x.Protocol, Via: x.Via, TLS: x.TLS, Cert: x.Cert}
	for _, h := range x.Hosts {
		out.Hosts = append(out.Hosts, mesh.Endpoint{Host: h.Host, Port: h.Port})
	}
	if x.TLS == "originate" {
		out.ServerName, out.CA = x.ServerName, x.CA
	}
	return out
}

// optional is a time that may not have been given.
func optional(d *time.Duration) *mesh.Duration {
	if d == nil {
		return nil
	}
	m := mesh.Duration(*d)
	return &m
}

// positive is a time of which zero stands for not given.
func positive(d time.Duration) *mesh.Duration {
	if d == 0 {
		return nil
	}
	return optional(&d)
}
