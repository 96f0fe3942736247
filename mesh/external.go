package mesh

// External is a service that is not the fleet's.
type External struct {
	Protocol   string     `json:"protocol"`      // as of Listen
	Hosts      []Endpoint `json:"hosts"`         // in the spec's order
	Via        Names      `json:"via,omitempty"` // hosts that calls leave from, absent = the caller's
	TLS        string     `json:"tls"`           // "originate", "passthrough", "off"
	ServerName string     `json:"server_name,omitempty"`
	CA         string     `json:"ca,omitempty"`   // "system", or a file as the fleet's folder names it; with originate
	Cert       string     `json:"cert,omitempty"` // client certificate: the hosts have it, and its key

	Unknown Unknown `json:"-"`
}

// Endpoint is one address of an external.
type Endpoint struct {
	Host string `json:"host"` // name, "*.name" or IP
	Port int    `json:"port"`

	Unknown Unknown `json:"-"`
}
