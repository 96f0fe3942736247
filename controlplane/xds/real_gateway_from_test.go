package xds

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/mesh"
)

// A PROXY header is believed of the load balancers; whoever else connects is closed
// without an answer, with such a header or without, in the clear and by TLS.
func TestRealGatewayBehindBalancers(t *testing.T) {
	ca := newAuthority(t)
	until := time.Now().Add(time.Hour)
	ca.given = map[string]Leaf{"gw:public": ca.server(until, "shop.example", "other.example"), "gw:public:staff.example": ca.server(until, "staff.example")}
	balancers := mesh.Names{"127.0.0.2/32", "127.0.8.0/24"}
	g := gatewayOf(mesh.CertMeshCA,
		[]mesh.GatewayListen{
			{Protocol: "http", Port: 8080, ProxyProtocol: true, From: balancers},
			{Protocol: "https", Port: 8443, ProxyProtocol: true, From: balancers},
			{Protocol: "http", Port: 8081, From: balancers},
		},
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/"), Targets: []mesh.Target{to("web", "", 100)}},
		mesh.GatewayRoute{Host: "staff.example", Rule: prefix("/"), Targets: []mesh.Target{to("web", "", 100)}},
	)
	g.TLS = map[string]*mesh.Certificate{"staff.example": {Source: mesh.CertMeshCA}}
	f := startFront(t, ca, input(t, outside(g)))

	const header = "PROXY TCP4 192.0.2.7 192.0.2.1 1234 80\r\n"
	for _, test := range []struct {
		from, header string
		port         int
		host         string // by TLS, for 8443
		heard        string // as the client's address; "" = it is closed
	}{
		{"127.0.0.2", header, 8080, "shop.example", "192.0.2.7"},
		{"127.0.8.9", header, 8080, "shop.example", "192.0.2.7"},
		{"127.0.0.2", "", 8080, "shop.example", ""},
		{"127.0.0.3", header, 8080, "shop.example", ""},
		{"127.0.0.3", "", 8080, "shop.example", ""},
		{"127.0.0.3", "PROXY TCP4 127.0.0.2 127.0.0.1 1234 80\r\n", 8080, "shop.example", ""},
		{"127.0.0.2", header, 8443, "shop.example", "192.0.2.7"},
		{"127.0.0.2", header, 8443, "staff.example", "192.0.2.7"},
		{"127.0.0.3", header, 8443, "shop.example", ""},
		{"127.0.0.3", header, 8443, "staff.example", ""},
		{"127.0.0.3", "PROXY TCP4 127.0.0.2 127.0.0.1 1234 80\r\n", 8443, "other.example", ""},
		{"127.0.0.2", "", 8081, "shop.example", "127.0.0.2"},
		{"127.0.0.3", "", 8081, "shop.example", ""},
	} {
		heard, err := f.behind(t, test.from, test.header, test.port, test.host)
		if heard != test.heard || (err != nil) != (test.heard == "") {
			t.Errorf("from %s with %q to %d for %s: %q and %v, want %q", test.from, test.header, test.port, test.host, heard, err, test.heard)
		}
	}
}

// behind asks over a connection from an address that begins with a header, and
// gives what the service hears of the client.
func (f *front) behind(t *testing.T, from, header string, port int, host string) (string, error) {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	config := f.from(t, port, nil).Transport.(*http.Transport).TLSClientConfig
	c := client(t, "", config)
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, f.address(gatewayListenerName(port)))
		if err == nil {
			_, err = io.WriteString(conn, header)
		}
		return conn, err
	}
	scheme := "http"
	if port == 8443 {
		scheme = "https"
	}
	answer, err := c.Get(fmt.Sprintf("%s://%s/", scheme, host))
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	_, after, _ := strings.Cut(string(text), `"x-forwarded-for":"`)
	address, _, _ := strings.Cut(after, `"`)
	return address, err
}
