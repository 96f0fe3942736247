package xds

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Type is the URL of a resource's type.
type Type string

// Types, in the order in which they are made; removals go the other way.
const (
	Secret     Type = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
	Cluster    Type = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	Assignment Type = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	Listener   Type = "type.googleapis.com/envoy.config.listener.v3.Listener"
	Route      Type = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	Extension  Type = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
)

// Types are all of them, in the order in which they are made.
func Types() []Type { return []Type{Secret, Cluster, Assignment, Listener, Route, Extension} }

// Key names a resource.
type Key struct {
	Type Type
	Name string
}

// Compare orders keys by type, then by name.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Type, o.Type), cmp.Compare(k.Name, o.Name))
}

// Resource is one marshalled resource. It never changes.
type Resource struct {
	Key
	Version string // 16 hex digits of a hash of Body: the same after a restart, and on other hosts
	Body    []byte // the message, deterministically marshalled, without Any around it
	Needs   []Key  // what it names, and is of no use without
	About   About
}

// About says which part of the mesh configuration a resource is for, so that an
// error of Envoy leads to a line of the spec. What does not apply is "".
type About struct {
	Service  string // of this host
	Caller   string // service or gateway
	Edge     string // mesh.EdgeName of what the caller calls
	Gateway  string
	External string
}

// Message is a protobuf message that checks itself.
type Message interface {
	proto.Message
	ValidateAll() error
}

// NewResource validates a message and marshals it. The error names the resource,
// and holds nothing of a secret.
func NewResource(t Type, name string, m Message, about About, needs ...Key) (*Resource, error) {
	if t != Secret {
		if err := m.ValidateAll(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	} else if m.ValidateAll() != nil {
		return nil, fmt.Errorf("%s: the secret is not valid", name)
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return marshalled(t, name, body, about, needs...), nil
}

// marshalled is a resource of a message that was valid and is in bytes.
func marshalled(t Type, name string, body []byte, about About, needs ...Key) *Resource {
	hash := sha256.Sum256(body)
	return &Resource{Key: Key{t, name}, Version: hex.EncodeToString(hash[:8]), Body: body, Needs: needs, About: about}
}

// Any packs a message deterministically.
func Any(m Message) *anypb.Any {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("marshal %T: %v", m, err)) // only invalid UTF-8, which the mesh configuration cannot hold
	}
	return &anypb.Any{TypeUrl: "type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName()), Value: body}
}
