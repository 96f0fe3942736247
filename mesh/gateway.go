package mesh

// Gateway lets calls from outside in. It is a caller like a service.
type Gateway struct {
	Hosts         Names                   `json:"hosts"`
	Certificate   *Certificate            `json:"certificate,omitempty"` // absent = in the clear
	TLS           map[string]*Certificate `json:"tls,omitempty"`         // host name -> its own certificate
	Listens       []GatewayListen         `json:"listens"`               // by port
	HTTP3         bool                    `json:"http3"`
	Compress      bool                    `json:"compress"`
	MaxHeaders    int64                   `json:"max_headers"`            // bytes
	MaxBody       int64                   `json:"max_body,omitempty"`     // bytes, absent = no bound
	ClientTimeout Duration                `json:"client_timeout"`         // to send the headers
	BodyTimeout   Duration                `json:"body_timeout,omitempty"` // to send the body, absent = no bound
	Connections   int                     `json:"connections"`
	Auths         map[string]*Auth        `json:"auths,omitempty"`
	Routes        []GatewayRoute          `json:"routes,omitempty"` // in the order in which they are tried

	Unknown Unknown `json:"-"`
}

// Sources of a certificate.
const (
	CertACME   = "acme"
	CertFile   = "file" // the hosts have it, and its key
	CertMeshCA = "mesh-ca"
	CertLabCA  = "lab-ca"
)

// Certificate is where a certificate comes from.
type Certificate struct {
	Source string `json:"source"`
	Mail   string `json:"mail,omitempty"` // acme
	File   string `json:"file,omitempty"` // file: the chain, as the fleet's folder names it

	Unknown Unknown `json:"-"`
}

// GatewayListen is one port of a gateway.
type GatewayListen struct {
	Protocol      string `json:"protocol"` // "http", "https", "tcp"
	Port          int    `json:"port"`
	ProxyProtocol bool   `json:"proxy_protocol"`
	Redirect      bool   `json:"redirect,omitempty"` // http: everything goes to https
	Service       string `json:"service,omitempty"`  // tcp
	From          Names  `json:"from,omitempty"`     // ranges that may connect, by their own addresses; absent = everybody, but of tcp and proxy_protocol nobody

	Unknown Unknown `json:"-"`
}

// Auth tells who calls from outside: by a token, or by asking a service.
type Auth struct {
	Issuer    string            `json:"issuer,omitempty"`
	Audiences Names             `json:"audiences,omitempty"`
	JWKS      string            `json:"jwks,omitempty"`     // file of the fleet's folder, or a URL
	External  string            `json:"external,omitempty"` // that the URL is of
	Claims    map[string]string `json:"claims,omitempty"`   // claim -> header
	Service   string            `json:"service,omitempty"`
	Timeout   Duration          `json:"timeout"`

	Unknown Unknown `json:"-"`
}

// GatewayRoute is a route below a host name.
type GatewayRoute struct {
	Host string `json:"host"` // "shop.example", "*.shop.example"
	Rule
	Targets []Target `json:"targets,omitempty"` // shares, sum 100; absent with redirect and respond
	Mirror  *Mirror  `json:"mirror,omitempty"`
	Auth    Names    `json:"auth,omitempty"`     // all have to agree
	MaxBody int64    `json:"max_body,omitempty"` // bytes, absent = the gateway's

	BodyTimeout *Duration `json:"body_timeout,omitempty"` // absent = the gateway's
	CORS        *CORS     `json:"cors,omitempty"`
	Handling

	Unknown Unknown `json:"-"`
}

// Target is a share of a gateway route.
type Target struct {
	Service string  `json:"service"`
	Version string  `json:"version,omitempty"` // absent = the service's split
	Percent Percent `json:"percent"`

	Unknown Unknown `json:"-"`
}

// CORS lets pages of other origins call.
type CORS struct {
	Origins     Names     `json:"origins"`
	Methods     Names     `json:"methods,omitempty"`
	Headers     Names     `json:"headers,omitempty"`
	Credentials bool      `json:"credentials"`
	MaxAge      *Duration `json:"max_age,omitempty"` // absent = the browser's own

	Unknown Unknown `json:"-"`
}
