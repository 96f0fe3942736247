package mesh

// Schema is the value of Config.Schema that this release writes and reads.
const Schema = "nixmesh.mesh/1"

// MaxSize bounds a document, in bytes.
const MaxSize = 16 << 20

// Modes of Config.Authorization.
const (
	Declared = "declared" // an edge is the permission
	Explicit = "explicit" // an allow of the callee is needed, too
)

// Config is one mesh configuration. Maps are keyed by name.
type Config struct {
	Schema        string               `json:"schema"`
	Fleet         string               `json:"fleet"`
	Domain        string               `json:"domain"`                 // last part of mesh names: "mesh"
	TrustDomain   string               `json:"trust_domain,omitempty"` // absent before the fleet has a CA
	Authorization string               `json:"authorization"`
	CA            CA                   `json:"ca"`
	Telemetry     Telemetry            `json:"telemetry"`
	Defaults      map[string]Defaults  `json:"defaults"` // by protocol, and Upgraded
	Hosts         map[string]*Host     `json:"hosts"`
	Services      map[string]*Service  `json:"services"`
	Gateways      map[string]*Gateway  `json:"gateways,omitempty"`
	Externals     map[string]*External `json:"externals,omitempty"`
	Operators     map[string]*Operator `json:"operators,omitempty"` // those with access to services

	// Edges are all permissions of services and gateways: caller, then EdgeName
	// of what it may call. Nobody else may call anything.
	Edges map[string]map[string]*Edge `json:"edges,omitempty"`

	Unknown Unknown `json:"-"`
}

// CA are the lifetimes of certificates, and who signs them.
type CA struct {
	LeafTTL         Duration `json:"leaf_ttl"`
	IntermediateTTL Duration `json:"intermediate_ttl"`
	Authorities     Names    `json:"authorities,omitempty"` // hosts

	Unknown Unknown `json:"-"`
}

// Telemetry is what proxies tell of calls.
type Telemetry struct {
	AccessLog string  `json:"access_log"`       // "off", "errors", "all"
	OTLP      string  `json:"otlp,omitempty"`   // host:port that takes traces
	Sample    Percent `json:"sample,omitempty"` // of requests that are traced

	Unknown Unknown `json:"-"`
}

// Host is one machine of the mesh.
type Host struct {
	Address string `json:"address"`            // IP literal, of SSH and of the mesh
	Zone    string `json:"zone,omitempty"`     // "ZONE" or "REGION/ZONE"
	HostKey string `json:"host_key,omitempty"` // "ssh-ed25519 BASE64", absent while nobody trusted one

	Unknown Unknown `json:"-"`
}

// Operator is a person with access to services.
type Operator struct {
	Access Names `json:"access"` // services

	Unknown Unknown `json:"-"`
}
