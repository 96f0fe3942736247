package xds

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Static writes resources as a bootstrap, in JSON, that asks nobody for anything:
// what `envoy --mode validate` can look at. Envoy's errors may show all of its
// configuration, so keys and certificates are made up on the spot, also those
// that were not there. What validating passes over, References looks at.
func Static(out *Output) ([]byte, error) {
	return (&renderer{out: out, leaf: func(secret string, like []byte) (Leaf, error) { return madeUp(secret, like) }}).render()
}

// runtime is what the bootstrap of hosts has beside resources, as far as it decides
// what Envoy takes: patterns whose program is larger than 100.
func runtime() map[string]any {
	return map[string]any{"layers": []any{map[string]any{
		"name": "static", "static_layer": map[string]any{"re2.max_program_size.error_level": 16384},
	}}}
}

// renderer makes resources name each other without a server between them.
type renderer struct {
	out  *Output
	leaf func(secret string, like []byte) (Leaf, error) // like is the certificate in whose place it is, if any

	all   map[Key]proto.Message
	certs map[string]bool // named as certificates
	roots map[string]bool // named as validation contexts
}

func (r *renderer) render() ([]byte, error) {
	r.all, r.certs, r.roots = map[Key]proto.Message{}, map[string]bool{}, map[string]bool{}
	for _, resource := range r.out.Resources {
		m, err := resource.message()
		if err != nil {
			return nil, err
		}
		r.all[resource.Key] = m
	}
	for _, m := range r.of(Route) { // before they are put into listeners
		m.(*routev3.RouteConfiguration).ValidateClusters = wrapperspb.Bool(true)
	}
	for _, t := range []Type{Listener, Cluster} {
		for _, m := range r.of(t) {
			if err := walk(m, r.settle); err != nil {
				return nil, err
			}
		}
	}
	if err := r.secrets(); err != nil {
		return nil, err
	}
	static := map[string][]json.RawMessage{}
	for field, t := range map[string]Type{"secrets": Secret, "clusters": Cluster, "listeners": Listener} {
		for _, m := range r.of(t) {
			text, err := protojson.Marshal(m)
			if err != nil {
				return nil, fmt.Errorf("write a resource of %s: %w", t, err)
			}
			static[field] = append(static[field], text)
		}
	}
	return json.Marshal(map[string]any{"static_resources": static, "layered_runtime": runtime()})
}

// of are the resources of a type, by name.
func (r *renderer) of(t Type) []proto.Message {
	var list []proto.Message
	for _, key := range slices.SortedFunc(maps.Keys(r.all), Key.Compare) {
		if key.Type == t {
			list = append(list, r.all[key])
		}
	}
	return list
}

// settle puts in the place of a name what it names.
func (r *renderer) settle(m proto.Message) error {
	switch m := m.(type) {
	case *hcmv3.HttpConnectionManager:
		if rds := m.GetRds(); rds != nil {
			routes, _ := r.all[Key{Route, rds.RouteConfigName}].(*routev3.RouteConfiguration)
			if routes == nil {
				return fmt.Errorf("there are no routes %s", rds.RouteConfigName)
			}
			m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes}
		}
		if routes := m.GetRouteConfig(); routes != nil {
			routes.ValidateClusters = wrapperspb.Bool(true)
		}
	case *hcmv3.HttpFilter:
		if m.GetConfigDiscovery() != nil {
			filter, _ := r.all[Key{Extension, m.Name}].(*corev3.TypedExtensionConfig)
			if filter == nil {
				return fmt.Errorf("there is no extension %s", m.Name)
			}
			m.ConfigType = &hcmv3.HttpFilter_TypedConfig{TypedConfig: filter.TypedConfig}
		}
	case *clusterv3.Cluster:
		if eds := m.GetEdsClusterConfig(); eds != nil {
			name := eds.ServiceName
			if name == "" {
				name = m.Name
			}
			assignment, _ := r.all[Key{Assignment, name}].(*endpointv3.ClusterLoadAssignment)
			if assignment == nil {
				return fmt.Errorf("there are no endpoints %s", name)
			}
			m.ClusterDiscoveryType, m.EdsClusterConfig = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, nil
			m.LoadAssignment = assignment
		}
	case *tlsv3.CommonTlsContext:
		for _, secret := range m.TlsCertificateSdsSecretConfigs {
			secret.SdsConfig, r.certs[secret.Name] = nil, true
		}
		for _, secret := range []*tlsv3.SdsSecretConfig{
			m.GetValidationContextSdsSecretConfig(), m.GetCombinedValidationContext().GetValidationContextSdsSecretConfig(),
		} {
			if secret != nil {
				secret.SdsConfig, r.roots[secret.Name] = nil, true
			}
		}
	}
	return nil
}

// secrets makes up every key there is, and what is named and is not there yet.
func (r *renderer) secrets() error {
	for name := range r.certs {
		if r.all[Key{Secret, name}] == nil {
			r.all[Key{Secret, name}] = &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{}}}
		}
	}
	for name := range r.roots {
		if r.all[Key{Secret, name}] == nil {
			leaf, err := madeUp(name, nil)
			if err != nil {
				return err
			}
			r.all[Key{Secret, name}] = &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{
				ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(leaf.Chain)},
			}}
		}
	}
	for _, m := range r.of(Secret) {
		secret := m.(*tlsv3.Secret)
		switch kind := secret.Type.(type) {
		case *tlsv3.Secret_TlsCertificate:
			leaf, err := r.leaf(secret.Name, kind.TlsCertificate.GetCertificateChain().GetInlineBytes())
			if err != nil {
				return err
			}
			secret.Type = &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: inline(leaf.Chain), PrivateKey: inline(leaf.Key)}}
		case *tlsv3.Secret_ValidationContext:
		default:
			return fmt.Errorf("%s is a secret of a kind that is not shown to Envoy", secret.Name)
		}
	}
	return nil
}
