// Package hostfacts is host.json: what one host must know about itself to be
// run, verified and reverted without asking anybody, and the checks in it run
// once. The file is part of the toplevel, so a host that reverts takes its
// facts back with it. The package uses the standard library only; compile,
// rollback and the agent import it.
package hostfacts

import (
	"encoding/json"
	"fmt"
	"time"
)

// Path is where a host's running system keeps its facts; the same path below
// a toplevel holds the facts of that toplevel.
const Path = "/etc/nixmesh/host.json"

// DeployersPath lists the operators' nix keys ("NAME:BASE64", one a line).
const DeployersPath = "/etc/nixmesh/deployers"

// Schema is the value of Facts.Schema that this version writes.
const Schema = "nixmesh.host/1"

// Protocol is the number of the host protocol that this version speaks: the
// verbs of nixmesh-host and the meaning of the journal.
const Protocol = 1

// Facts is the content of host.json.
type Facts struct {
	Schema    string     `json:"schema"`
	Fleet     string     `json:"fleet"`
	Host      string     `json:"host"`
	System    string     `json:"system"` // "x86_64-linux"
	Nixmesh   Nixmesh    `json:"nixmesh"`
	Instances []Instance `json:"instances"`
	Units     []Unit     `json:"units"`
	Checks    []Check    `json:"checks"`
	Edges     []Edge     `json:"edges,omitempty"`
	Operators []Operator `json:"operators"`
	Rollout   Rollout    `json:"rollout"`
	Mesh      *Mesh      `json:"mesh,omitempty"` // nil: this host has no agent, since the fleet has no CA
}

// Mesh is what the host's agent has to know before it has a mesh configuration.
type Mesh struct {
	Roots   string `json:"roots"`             // the CA's roots in PEM, one or two
	Metrics bool   `json:"metrics,omitempty"` // whether it answers on port 7948, too

	Envoy     *Envoy     `json:"envoy,omitempty"`
	Gateways  []Gateway  `json:"gateways,omitempty"`  // by name
	Externals []External `json:"externals,omitempty"` // by name
}

// Nixmesh names the host binary of this toplevel.
type Nixmesh struct {
	Version  string `json:"version"`
	Protocol int    `json:"protocol"`
	Binary   string `json:"binary"` // absolute store path of the executable
}

// Instance is one running copy of a service on this host; its versions and
// copies have one user. UID is -1 where it is not fixed.
type Instance struct {
	Service string   `json:"service"`
	Version string   `json:"version,omitempty"`
	Unit    string   `json:"unit"` // "web.service"
	User    string   `json:"user"`
	UID     int      `json:"uid"`
	Job     bool     `json:"job,omitempty"`     // a timer starts it: most of the time it rests
	MayEnd  bool     `json:"may_end,omitempty"` // one that has ended well still counts as running
	Listens []Listen `json:"listens"`
}

// Listen is where an instance takes connections on this host.
type Listen struct {
	Name     string `json:"name,omitempty"`
	Protocol string `json:"protocol"`
	Address  string `json:"address"`
	Port     int    `json:"port"`
}

// Edge is one call that a service of this host may make: its user reaches
// Address at each of Ports, which the kernel sends to EdgePort of the local Envoy.
type Edge struct {
	Caller   string `json:"caller"`
	User     string `json:"user"`
	UID      int    `json:"uid"`
	Upstream string `json:"upstream"`
	Listen   string `json:"listen,omitempty"` // the upstream's, empty = its only or first one
	Protocol string `json:"protocol"`
	Address  string `json:"address"` // in 127.64.0.0/16
	Ports    []int  `json:"ports"`   // as the caller says them, sorted
	EdgePort int    `json:"edge_port"`
}

// Unit is one systemd unit that verification demands by name: for a job its
// timer, since the job itself rests.
type Unit struct {
	Name    string `json:"name"`            // "web.service", "backup.timer"
	Service string `json:"service"`         // service it belongs to, "" for nixmesh's own
	Place   string `json:"place,omitempty"` // empty in a toplevel, see Check.Place
}

// Check kinds.
const (
	CheckHTTP = "http"
	CheckTCP  = "tcp"
	CheckGRPC = "grpc"
	CheckExec = "exec"
)

// Check is one health check of one instance. Checks run as User, from a child
// process with that uid, never as root.
type Check struct {
	Name    string            `json:"name"` // unique on the host: "web", "web#2", "api@v1-2#2"
	Service string            `json:"service"`
	Version string            `json:"version,omitempty"`
	Unit    string            `json:"unit"`
	Kind    string            `json:"kind"`
	Address string            `json:"address,omitempty"` // host:port of http, tcp, grpc
	Path    string            `json:"path,omitempty"`    // http
	HTTP2   bool              `json:"http2,omitempty"`   // http: in HTTP/2 without an upgrade
	GRPC    string            `json:"grpc,omitempty"`    // grpc health service name
	Exec    []string          `json:"exec,omitempty"`    // exec: argv, first word absolute; ${NAME} of Env, $$ is a dollar
	Env     map[string]string `json:"env,omitempty"`     // exec: whole environment, PATH included
	User    string            `json:"user"`
	UID     int               `json:"uid"`
	Sandbox []string          `json:"sandbox,omitempty"` // exec: systemd properties, "ProtectSystem=strict"
	// Credentials and EnvironmentFile are the secrets of the service, for exec:
	// as LoadCredential= ("NAME:PATH") and EnvironmentFile= of its unit have them.
	Credentials     []string `json:"credentials,omitempty"`
	EnvironmentFile string   `json:"environment_file,omitempty"`
	Every           Duration `json:"every"`
	Timeout         Duration `json:"timeout"`
	After           Duration `json:"after"`
	Rise            int      `json:"rise"`
	Fall            int      `json:"fall"`
	Place           string   `json:"place,omitempty"` // empty in a toplevel, which a moved line must not change; for who knows the spec
}

// Operator is one person who may act on this host.
type Operator struct {
	Name   string   `json:"name"`
	SSH    []string `json:"ssh"`
	Sign   []string `json:"sign"`
	NixKey string   `json:"nix_key,omitempty"`
}

// Rollout holds the times of a switch on this host.
type Rollout struct {
	Confirm         Duration `json:"confirm"`
	Settle          Duration `json:"settle"`
	ActivateTimeout Duration `json:"activate_timeout"`
	LastResort      string   `json:"last_resort"` // "reboot" or "hold"
}

// Duration is a time.Duration that reads and writes as Go's text ("1m30s").
type Duration time.Duration

// MarshalJSON writes the duration as text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads Go's text of a duration.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("duration %s: want a text such as \"90s\"", b)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// D is the duration as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }
