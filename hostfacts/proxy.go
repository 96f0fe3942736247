package hostfacts

import "time"

// EnvoyUser and EnvoyUID are the user, and group, of every host's Envoy, as the
// module makes them.
const (
	EnvoyUser = "nixmesh-envoy"
	EnvoyUID  = 39999
)

// EnvoyUnit is the unit that Envoy runs in.
const EnvoyUnit = "nixmesh-envoy.service"

// GuardUnit is the unit that loads the kernel's table of who may connect where.
const GuardUnit = "nixmesh-guard.service"

// The agent as the gate asks it: its user, its socket, and what it answers 2xx on
// when Envoy takes calls as it was told, or nobody has told the agent anything yet.
const (
	AgentUser   = "nixmesh-agent"
	AgentUID    = 39998
	AgentSocket = "/run/nixmesh/api.sock"
	GatePath    = "/ready/envoy"
)

// GateEnvoy is the gate that Envoy takes calls as it was told.
const GateEnvoy = "envoy"

// gateTimeout bounds an answer of the agent, which has it in memory.
const gateTimeout = 3 * time.Second

// Gates are what a switch has to prove beside the checks of services.
func (f *Facts) Gates() []Check {
	if f.Mesh == nil || f.Mesh.Envoy == nil {
		return nil
	}
	return []Check{{
		Name: GateEnvoy, Unit: EnvoyUnit, Kind: CheckHTTP, Address: unixAddress + AgentSocket, Path: GatePath,
		User: AgentUser, UID: AgentUID, Timeout: Duration(gateTimeout), Rise: 1, Fall: 1,
	}}
}

// Envoy is the proxy of this toplevel. What runs may be another one: a switch does
// not restart it.
type Envoy struct {
	Version   string `json:"version"`   // of the package, "1.40.0"
	Binary    string `json:"binary"`    // absolute store path of the executable
	Bootstrap string `json:"bootstrap"` // absolute store path of its configuration
	UID       int    `json:"uid"`

	Connections int `json:"connections,omitempty"` // that gateways may have at once
}

// Gateway is a gateway of this host whose certificates come from files.
type Gateway struct {
	Name         string             `json:"name"`
	Certificates []CertificateFiles `json:"certificates"` // by host
}

// CertificateFiles are a certificate and its key as PEM, on this host. Both may be
// in one file, so that nobody sees one with another's.
type CertificateFiles struct {
	Host  string `json:"host,omitempty"` // host name that it is for, "" = the gateway's own
	Chain string `json:"chain"`          // path; leaf first
	Key   string `json:"key"`            // path
}

// External is an external whose callers on this host need files.
type External struct {
	Name  string `json:"name"`
	CA    string `json:"ca,omitempty"`    // path of the roots that vouch for it
	Chain string `json:"chain,omitempty"` // path of the certificate to show it
	Key   string `json:"key,omitempty"`   // path
}
