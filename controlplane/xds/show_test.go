package xds

import (
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// What people are shown of a certificate has its chain, and not its key.
func TestShownSecret(t *testing.T) {
	inline := func(text string) *corev3.DataSource {
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: []byte(text)}}
	}
	r, err := NewResource(Secret, "svc:web", &tlsv3.Secret{Name: "svc:web", Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: inline("chain"), PrivateKey: inline("private"), Password: inline("private"),
	}}}, About{})
	if err != nil {
		t.Fatal(err)
	}
	before := string(r.Body)
	text, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "cHJpdmF0ZQ") { // in base64
		t.Errorf("it shows the key: %s", text)
	}
	if !strings.Contains(string(text), "Y2hhaW4=") || !strings.Contains(string(text), redacted) {
		t.Errorf("it is %s", text)
	}
	if string(r.Body) != before {
		t.Error("the resource changed")
	}
}

// An assignment is read as it was written.
func TestShownEndpoints(t *testing.T) {
	r, err := NewResource(Assignment, "e:web:api@v1", &endpointv3.ClusterLoadAssignment{
		ClusterName: "e:web:api@v1",
		Endpoints: []*endpointv3.LocalityLbEndpoints{{
			Locality: locality("eu/a"), Priority: 1,
			LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socketAddress("10.0.0.1", 15443)}},
				HealthStatus:   corev3.HealthStatus_DRAINING, LoadBalancingWeight: wrapperspb.UInt32(3),
				Metadata: metadata("envoy.transport_socket_match", versionMatch("v1")),
			}},
		}},
	}, About{})
	if err != nil {
		t.Fatal(err)
	}
	want := Told{Address: "10.0.0.1", Port: 15443, Version: "v1", Zone: "eu/a", Health: "draining", Priority: 1, Weight: 3}
	if got := r.Endpoints(); len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for name, want := range map[string][3]string{
		"e:web:api@v1": {"web", "api", "v1"}, "u:web:db:admin": {"web", "db:admin", ""}, "local:web": {"", "", ""},
	} {
		caller, edge, version, ok := Edge(name)
		if got := [3]string{caller, edge, version}; got != want || ok == (want[0] == "") {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
