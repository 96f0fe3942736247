package ca

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nixmesh/nixmesh/trust"
)

// wireSchema is the form of requests and answers. Members may be added under
// it; what changes a meaning gets another number.
const wireSchema = "nixmesh.certificate/1"

// Bounds of what is read from another host, in bytes.
const (
	maxRequest = 16 << 10
	maxAnswer  = 64 << 10
	maxNonce   = 128
	maxText    = 512 // of a refusal
)

// ErrWire is a request or an answer that is none.
var ErrWire = errors.New("not a message about certificates")

// Request asks an authority for the certificate of one service on one host.
type Request struct {
	Schema    string `json:"schema"`
	Authority string `json:"authority"` // whom it asks: nobody else may use it
	Host      string `json:"host"`
	Service   string `json:"service"`
	NodeCert  string `json:"node_cert"`
	Key       []byte `json:"key"`   // PKCS#10 of the leaf's key
	Nonce     []byte `json:"nonce"` // the authority's
}

// SignedRequest is a request's bytes with the node key's signature over them.
type SignedRequest struct {
	Body      []byte
	Signature []byte
}

// sign makes the request's bytes and signs them.
func (r Request) sign(key trust.NodeKey) (SignedRequest, error) {
	r.Schema = wireSchema
	body, err := json.Marshal(r)
	if err != nil {
		return SignedRequest{}, fmt.Errorf("encode certificate request: %w", err)
	}
	return SignedRequest{body, key.Sign(trust.PurposeCertificate, body)}, nil
}

// parseRequest reads a request's bytes. Whether it is signed is asked later:
// the bytes say by whom.
func parseRequest(body []byte) (Request, error) {
	var r Request
	if err := decode(body, maxRequest, &r); err != nil {
		return Request{}, err
	}
	if r.Schema != wireSchema {
		return Request{}, fmt.Errorf("%w: schema %.80q is not %q", ErrWire, r.Schema, wireSchema)
	}
	return r, nil
}

// Code says why a request was refused.
type Code string

// Codes of refusals. The last three may pass by asking again.
const (
	CodeForm      Code = "form"      // not a request, or not to this authority
	CodeHost      Code = "host"      // no such host, or none of its host key
	CodeNode      Code = "node"      // not the host's node key, or an old one
	CodePlacement Code = "placement" // the configuration does not place the service there
	CodeAuthority Code = "authority" // this host cannot sign, or may not
	CodeNonce     Code = "nonce"     // not this authority's, used, or too old
	CodeBusy      Code = "busy"      // too many requests
	CodeLog       Code = "log"       // the issue log cannot be written
)

// Refusal is an answer without a certificate.
type Refusal struct {
	Code  Code          `json:"code"`
	Text  string        `json:"text"`
	Retry time.Duration `json:"retry_ns,omitempty"` // when to ask again; 0 = as you like
}

func (r *Refusal) Error() string { return string(r.Code) + ": " + r.Text }

func refuse(code Code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Answer is a chain or a refusal, and the authority's clock.
type Answer struct {
	Schema  string    `json:"schema"`
	Time    time.Time `json:"time"`
	Chain   string    `json:"chain,omitempty"` // PEM: the leaf, its intermediate
	Refusal *Refusal  `json:"refusal,omitempty"`
}

// Encode is the answer's bytes.
func (a Answer) Encode() ([]byte, error) {
	a.Schema = wireSchema
	if a.Refusal != nil && len(a.Refusal.Text) > maxText {
		cut := *a.Refusal
		cut.Text = cut.Text[:maxText]
		a.Refusal = &cut
	}
	out, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return out, nil
}

// ParseAnswer reads an answer's bytes.
func ParseAnswer(text []byte) (Answer, error) {
	var a Answer
	if err := decode(text, maxAnswer, &a); err != nil {
		return Answer{}, err
	}
	switch {
	case a.Schema != wireSchema:
		return Answer{}, fmt.Errorf("%w: schema %.80q is not %q", ErrWire, a.Schema, wireSchema)
	case (a.Refusal == nil) == (a.Chain == ""):
		return Answer{}, fmt.Errorf("%w: neither a chain nor a refusal, or both", ErrWire)
	case a.Refusal != nil && (len(a.Refusal.Text) > 4*maxText || len(a.Refusal.Code) > 40 || a.Refusal.Retry < 0):
		return Answer{}, fmt.Errorf("%w: a refusal out of bounds", ErrWire)
	}
	return a, nil
}

// decode reads one JSON value that is all of a text.
func decode(text []byte, most int, into any) error {
	if len(text) > most {
		return fmt.Errorf("%w: %d bytes, at most %d are taken", ErrWire, len(text), most)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", ErrWire, err)
	}
	if d.InputOffset() != int64(len(text)) {
		return fmt.Errorf("%w: something follows it", ErrWire)
	}
	return nil
}
