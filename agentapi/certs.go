package agentapi

import "time"

// CertsSchema is the value of Certs.Schema.
const CertsSchema = "nixmesh.certs/1"

// Levels of a certificate's age.
const (
	LevelOK       = "ok"
	LevelWarn     = "warn"     // it should have been renewed by now
	LevelCritical = "critical" // little time is left: a person has to look
	LevelExpired  = "expired"
)

// Certs are the certificates that one agent holds, of every level.
type Certs struct {
	Schema      string     `json:"schema"`
	Host        string     `json:"host"`
	Time        time.Time  `json:"time"`
	TrustDomain string     `json:"trust_domain,omitempty"`
	Roots       []Cert     `json:"roots"`
	Authority   *Cert      `json:"authority,omitempty"` // this host's intermediate, if it is an authority
	Requested   bool       `json:"requested,omitempty"` // an intermediate was asked for and has not come
	Issued      int        `json:"issued,omitempty"`    // leaves, since the agent's start
	Refused     int        `json:"refused,omitempty"`   // requests, since the agent's start
	Leaves      []Cert     `json:"leaves"`              // by service
	Authorities []Answerer `json:"authorities"`         // in the order in which this host asks
}

// Cert is one certificate.
type Cert struct {
	Name    string    `json:"name"`          // "api", "shop CA (db1)", "shop CA (root 3fa9c1d2)"
	ID      string    `json:"id,omitempty"`  // SPIFFE name of a leaf
	From    time.Time `json:"from,omitzero"` // zero before there is one
	Until   time.Time `json:"until,omitzero"`
	Renews  time.Time `json:"renews,omitzero"`   // when it is asked for next
	Issuer  string    `json:"issuer,omitempty"`  // name of the certificate that signed it
	Level   string    `json:"level"`             // ok, warn, critical, expired
	Placed  bool      `json:"placed,omitempty"`  // leaf: the configuration places the service here
	Problem string    `json:"problem,omitempty"` // one line
}

// Answerer is an authority as this host sees it.
type Answerer struct {
	Host     string    `json:"host"`
	Failures int       `json:"failures,omitempty"` // since its last answer
	Retry    time.Time `json:"retry,omitzero"`
	SkewMS   int64     `json:"skew_ms,omitempty"` // its clock less this host's
	Error    string    `json:"error,omitempty"`
}

// AuthorityRequest is a request for this host's next intermediate.
type AuthorityRequest struct {
	Host    string `json:"host"`
	Request string `json:"request"` // PEM
}
