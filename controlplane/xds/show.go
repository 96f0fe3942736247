package xds

import (
	"encoding/json"
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// redacted stands for a key, in the words of Envoy's own dump.
const redacted = "[redacted]"

// JSON is a resource as people read it, without keys.
func (r *Resource) JSON() (json.RawMessage, error) {
	message, err := (&anypb.Any{TypeUrl: string(r.Type), Value: r.Body}).UnmarshalNew()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.Name, err)
	}
	if secret, ok := message.(*tlsv3.Secret); ok {
		redact(secret)
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", r.Name, err)
	}
	return text, nil
}

// redact takes out what nobody may read: of the secrets that are made here, the
// keys of certificates.
func redact(s *tlsv3.Secret) {
	hidden := &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: redacted}}
	switch kind := s.Type.(type) {
	case *tlsv3.Secret_TlsCertificate:
		kind.TlsCertificate.PrivateKey = hidden
		kind.TlsCertificate.Password = nil
	case *tlsv3.Secret_ValidationContext: // public
	default:
		s.Type = nil
	}
}

// Told is one endpoint of an assignment.
type Told struct {
	Address  string
	Port     int
	Version  string // where the assignment has several
	Zone     string // "ZONE" or "REGION/ZONE"
	Health   string // "healthy", "degraded", "draining", "unhealthy"
	Priority int
	Weight   int
}

// Endpoints are those of an assignment; none of another resource.
func (r *Resource) Endpoints() []Told {
	assignment := &endpointv3.ClusterLoadAssignment{}
	if r.Type != Assignment || proto.Unmarshal(r.Body, assignment) != nil {
		return nil
	}
	var list []Told
	for _, group := range assignment.Endpoints {
		zone := group.GetLocality().GetZone()
		if region := group.GetLocality().GetRegion(); region != "" {
			zone = region + "/" + zone
		}
		for _, e := range group.LbEndpoints {
			at := e.GetEndpoint().GetAddress().GetSocketAddress()
			version := e.GetMetadata().GetFilterMetadata()["envoy.transport_socket_match"].GetFields()["version"]
			list = append(list, Told{
				Address: at.GetAddress(), Port: int(at.GetPortValue()), Version: version.GetStringValue(), Zone: zone,
				Health: strings.ToLower(e.HealthStatus.String()), Priority: int(group.Priority), Weight: int(e.LoadBalancingWeight.GetValue()),
			})
		}
	}
	return list
}

// Edge reads the name of an assignment, or of the cluster of one: who calls what,
// and which version, "" for all. It is not ok for another name.
func Edge(name string) (caller, edge, version string, ok bool) {
	rest, is := strings.CutPrefix(name, "e:")
	if !is {
		rest, is = strings.CutPrefix(name, "u:")
	}
	caller, edge, ok = strings.Cut(rest, ":")
	if !is || !ok {
		return "", "", "", false
	}
	edge, version, _ = strings.Cut(edge, "@")
	return caller, edge, version, true
}
