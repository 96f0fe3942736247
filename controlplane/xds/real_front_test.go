package xds

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/durationpb"
)

// front is a real Envoy with the gateways of an input, on loopback, and with what
// takes calls of the mesh. In the place of each cluster is a server that says which
// one it stands for.
type front struct {
	*envoy
	ca *authority
}

func startFront(t *testing.T, ca *authority, in *Input) *front {
	t.Helper()
	patient(in.Config)
	out := Build(in)
	var kept []*Resource
	for _, r := range out.Resources {
		m, err := r.message()
		if err != nil {
			t.Fatal(err)
		}
		var changed Message
		switch m := m.(type) {
		case *listenerv3.Listener:
			if strings.HasPrefix(r.Name, "gw:") {
				m.Address, m.AdditionalAddresses = socketAddress("127.0.0.1", 0), nil
			} else if r.Name != InboundListener {
				continue
			}
			changed = m
		case *clusterv3.Cluster:
			stands := standin(t, r.Name)
			stands.CircuitBreakers = m.CircuitBreakers
			changed = stands
		case *endpointv3.ClusterLoadAssignment:
			continue
		default:
			kept = append(kept, r)
			continue
		}
		r, err := NewResource(r.Type, r.Name, changed, r.About)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, r)
	}
	return &front{startEnvoy(t, ca, &Output{Resources: kept}), ca}
}

// standin is a cluster with one server, which speaks HTTP/1.1 or first.
func standin(t *testing.T, name string) *clusterv3.Cluster {
	port := 0
	if strings.Contains(name, "postgres") {
		port = banner(t)
	} else {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("x-cluster", name)
			if r.URL.Path == "/long" {
				w.Header().Set("content-type", "text/plain")
				_, _ = w.Write(bytes.Repeat([]byte("x"), 10_000))
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			echo(w, r)
		}))
		t.Cleanup(server.Close)
		port = server.Listener.Addr().(*net.TCPAddr).Port
	}
	return &clusterv3.Cluster{
		Name: name, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, ConnectTimeout: durationpb.New(time.Minute),
		LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socketAddress("127.0.0.1", port)}},
		}}}}},
	}
}

// from is a client of one port, who asks for the server name of each URL unless he
// is given another one. He follows no redirects.
func (f *front) from(t *testing.T, port int, change func(*tls.Config)) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(f.ca.cert)
	config := &tls.Config{RootCAs: roots}
	if change != nil {
		change(config)
	}
	c := client(t, f.address(gatewayListenerName(port)), config)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// answered is what came back.
type answered struct {
	*http.Response
	body  string
	heard map[string]string // by the server; nil where Envoy answered
}

func ask(t *testing.T, c *http.Client, method, url string, header http.Header, body string) answered {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[http.CanonicalHeaderKey(name)] = values
		if name == "host" {
			r.Host = values[0]
		}
	}
	got, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answered{Response: got, body: string(text)}
	_ = json.Unmarshal(text, &a.heard) // or it is no echo
	return a
}
