package delta

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	ratelimit "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	rbachttp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	tcp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/internal/testkit/envoytest"
)

// TestEnvoyRefusesAssignment: endpoints that Envoy does not take, of a cluster that
// changes with them. The last good ones come behind the cluster, or it would stand
// there without any.
func TestEnvoyRefusesAssignment(t *testing.T) {
	r, s := startReal(t), shapes{t}
	port, web := envoytest.FreePort(t), web(t, "a")
	config := func(connect time.Duration, a *xds.Resource) []*xds.Resource {
		return []*xds.Resource{s.cluster("a", connect), a, s.cluster("b", connect), s.assignment("b", web), s.routes("r", "a", "/.*"), s.http("l", port, "r")}
	}
	good := s.assignment("a", web)
	r.server.Replace(config(time.Second, good))
	r.settle()
	nowhere := address(web)
	nowhere.GetSocketAddress().Address = "nowhere"
	bad := s.resource(xds.Assignment, "e:a", &endpoint.ClusterLoadAssignment{ClusterName: "e:a", Endpoints: []*endpoint.LocalityLbEndpoints{{
		LbEndpoints: []*endpoint.LbEndpoint{{HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: nowhere}}}},
	}}})
	r.server.Replace(config(2*time.Second, bad))
	st := r.settle()
	if len(st.Refused) != 1 || st.Refused[0].Key != bad.Key || st.Refused[0].Good != good.Version {
		t.Fatalf("refused: %+v", st.Refused)
	}
	t.Logf("envoy says: %s", st.Refused[0].Text)
	calls := load(t, port)
	calls.more(t, 40)
	calls.none(t)
	r.server.Replace(config(3*time.Second, good))
	if st := r.settle(); len(st.Refused) > 0 || get(port) != "200 a" {
		t.Errorf("healed: %+v, %s", st.Refused, get(port))
	}
}

// TestEnvoyRefusesSecret: of two certificates one has another's key. The other is
// served, and no text has anything of a key.
func TestEnvoyRefusesSecret(t *testing.T) {
	r, s := startReal(t), shapes{t}
	port := envoytest.FreePort(t)
	chain, key := certificate(t)
	_, other := certificate(t)
	secret := func(name string, key []byte) *xds.Resource {
		return s.resource(xds.Secret, "svc:"+name, &tlsv3.Secret{Name: "svc:" + name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: inline(chain), PrivateKey: inline(key),
		}}})
	}
	l := &listener.Listener{Name: "l", Address: address(port), ListenerFilters: []*listener.ListenerFilter{tlsInspector()}}
	var needs []xds.Key
	for _, name := range []string{"good", "bad"} {
		l.FilterChains = append(l.FilterChains, s.tlsChain(name, "a"))
		needs = append(needs, xds.Key{Type: xds.Secret, Name: "svc:" + name})
	}
	bad := secret("bad", other)
	all := []*xds.Resource{
		s.cluster("a", time.Second), s.assignment("a", echo(t)), secret("good", key), bad, s.resource(xds.Listener, "l", l, needs...),
	}
	r.server.Replace(all)
	st := r.settle()
	if len(st.Refused) != 1 || st.Refused[0].Key != bad.Key {
		t.Fatalf("refused: %+v", st.Refused)
	}
	t.Logf("envoy says: %s", st.Refused[0].Text)
	for line := range strings.Lines(string(other)) {
		if strings.Contains(st.Refused[0].Text, strings.TrimSpace(line)) {
			t.Errorf("the text has %q", line)
		}
	}
	handshake := func(name string) error {
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: testPatience}, "tcp", fmt.Sprint("127.0.0.1:", port), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err == nil {
			c.Close()
		}
		return err
	}
	if err := handshake("good"); err != nil {
		t.Errorf("the good one: %v", err)
	}
	if handshake("bad") == nil {
		t.Error("the bad one serves")
	}
	// A server that knows nothing of that is told again, though there never was a
	// good one.
	r.stop()
	r.serve(all)
	if st := r.settle(); len(st.Refused) != 1 || st.Refused[0].Key != bad.Key {
		t.Errorf("to another server it is refused as %+v", st.Refused)
	}
	r.server.Update([]*xds.Resource{secret("bad", key)})
	if st := r.settle(); len(st.Refused) > 0 || handshake("bad") != nil {
		t.Errorf("healed: %+v, %v", st.Refused, handshake("bad"))
	}
	// One that knows the good one by its version only has nothing to give in the
	// place of the next bad one. What Envoy has serves on, and the next is told, too.
	all[3] = secret("bad", key)
	for range 3 {
		r.stop()
		r.serve(all)
		r.settle()
		all[3] = bad
		r.server.Replace(all)
		if st := r.settle(); len(st.Refused) != 1 || st.Refused[0].Key != bad.Key || handshake("bad") != nil {
			t.Errorf("after a good one: %+v, %v", st.Refused, handshake("bad"))
		}
	}
	// It is taken back, and what is made anew is made of the one in use.
	all[3] = secret("bad", key)
	r.server.Replace(all)
	r.settle()
	port = envoytest.FreePort(t)
	l.Name, l.Address = "m", address(port)
	r.server.Replace(append(all, s.resource(xds.Listener, "m", l, needs...)))
	if st := r.settle(); len(st.Refused) > 0 || handshake("bad") != nil {
		t.Errorf("taken back, and another listener: %+v, %v", st.Refused, handshake("bad"))
	}
}

// TestEnvoyRefusesRoots: whom a listener lets in Envoy does not understand, and there
// never was anything else. Each server is told, and nobody gets in.
func TestEnvoyRefusesRoots(t *testing.T) {
	r, s := startReal(t), shapes{t}
	port := envoytest.FreePort(t)
	chain, key := certificate(t)
	roots := func(text []byte) *xds.Resource {
		return s.resource(xds.Secret, "trust", &tlsv3.Secret{Name: "trust", Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: inline(text),
		}}})
	}
	own := s.resource(xds.Secret, "svc:own", &tlsv3.Secret{Name: "svc:own", Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: inline(chain), PrivateKey: inline(key),
	}}})
	bad := roots([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	filters := s.tlsChain("own", "a")
	filters.TransportSocket.ConfigType = &core.TransportSocket_TypedConfig{TypedConfig: xds.Any(&tlsv3.DownstreamTlsContext{
		RequireClientCertificate: wrapperspb.Bool(true),
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: "svc:own", SdsConfig: ads(fetchTimeout)}},
			ValidationContextType: &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{
				ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: "trust", SdsConfig: ads(fetchTimeout)},
			},
		},
	})}
	l := &listener.Listener{Name: "l", Address: address(port), ListenerFilters: []*listener.ListenerFilter{tlsInspector()}, FilterChains: []*listener.FilterChain{filters}}
	all := []*xds.Resource{s.cluster("a", time.Second), s.assignment("a", echo(t)), own, bad, s.resource(xds.Listener, "l", l, own.Key, bad.Key)}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	says := func() error {
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: testPatience}, "tcp", fmt.Sprint("127.0.0.1:", port), &tls.Config{
			ServerName: "own", InsecureSkipVerify: true, Certificates: []tls.Certificate{pair},
		})
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(testPatience))
		fmt.Fprint(c, "x")
		_, err = c.Read(make([]byte, 1)) // who is refused learns it here
		return err
	}
	for n := range 3 {
		r.server.Replace(all)
		st := r.settle()
		if len(st.Refused) != 1 || st.Refused[0].Key != bad.Key {
			t.Errorf("server %d: refused: %+v", n, st.Refused)
		}
		if says() == nil {
			t.Errorf("server %d: a stranger was let in", n)
		}
		r.stop()
		r.serve(nil)
	}
	all[3] = roots(chain)
	r.server.Replace(all)
	if st := r.settle(); len(st.Refused) > 0 || says() != nil {
		t.Errorf("healed: %+v, %v", st.Refused, says())
	}
	all[3] = bad
	r.server.Replace(all)
	if st := r.settle(); len(st.Refused) != 1 || says() != nil {
		t.Errorf("what was good does not stay: %+v, %v", st.Refused, says())
	}
}

// TestEnvoyRefusesExtension: permissions and limits that Envoy does not understand.
// The last good one stays, or what stands there without any, and each server is told.
func TestEnvoyRefusesExtension(t *testing.T) {
	permit := func(path string) xds.Message {
		match := &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: &matcher.RegexMatcher{Regex: path}}}
		return &rbachttp.RBAC{Rules: &rbac.RBAC{Policies: map[string]*rbac.Policy{"all": {
			Principals:  []*rbac.Principal{{Identifier: &rbac.Principal_Any{Any: true}}},
			Permissions: []*rbac.Permission{{Rule: &rbac.Permission_UrlPath{UrlPath: &matcher.PathMatcher{Rule: &matcher.PathMatcher_Path{Path: match}}}}},
		}}}}
	}
	limit := func(every time.Duration) xds.Message {
		all := &core.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{Numerator: 100}}
		return &ratelimit.LocalRateLimit{
			StatPrefix: "l", FilterEnabled: all, FilterEnforced: all,
			TokenBucket: &typev3.TokenBucket{MaxTokens: 1000, FillInterval: durationpb.New(every)},
		}
	}
	for _, c := range []struct {
		name                   string
		none, other, good, bad xds.Message
		without                string // what is answered where there never was a good one
	}{
		{"permissions", &rbachttp.RBAC{Rules: &rbac.RBAC{}}, permit("/none"), permit("/.*"), permit("("), "403"},
		{"limits", &ratelimit.LocalRateLimit{StatPrefix: "l"}, limit(time.Minute), limit(time.Second), limit(2 * time.Millisecond), "200 a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, s := startReal(t), shapes{t}
			port := envoytest.FreePort(t)
			extension := func(m xds.Message) *xds.Resource {
				return s.resource(xds.Extension, "x", &core.TypedExtensionConfig{Name: "x", TypedConfig: xds.Any(m)})
			}
			bad := extension(c.bad)
			all := []*xds.Resource{
				s.cluster("a", time.Second), s.assignment("a", web(t, "a")), s.routes("r", "a", "/.*"), s.filtered("l", port, "r", "x", c.none), bad,
			}
			refused := func(answer string) {
				r.server.Replace(all)
				for n := range 4 {
					if st := r.settle(); len(st.Refused) != 1 || st.Refused[0].Key != bad.Key {
						t.Errorf("server %d: refused: %+v", n, st.Refused)
					}
					if got := get(port); !strings.HasPrefix(got, answer) {
						t.Errorf("server %d: %s answers, not %s", n, got, answer)
					}
					r.stop()
					r.serve(all)
				}
				r.settle()
			}
			refused(c.without)
			all[4] = extension(c.good)
			r.server.Replace(all)
			if st := r.settle(); len(st.Refused) > 0 || get(port) != "200 a" {
				t.Fatalf("a good one: %+v, %s", st.Refused, get(port))
			}
			all[4] = bad
			refused("200 a")
			// It is taken back, and what is made anew is made of the one in use.
			all[4] = extension(c.good)
			r.server.Replace(all)
			r.settle()
			all[3] = s.filtered("l", port, "r", "x", c.other)
			r.server.Replace(all)
			if st := r.settle(); len(st.Refused) > 0 || get(port) != "200 a" {
				t.Errorf("taken back, and another listener: %+v, %s", st.Refused, get(port))
			}
		})
	}
}

func inline(text []byte) *core.DataSource {
	return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: text}}
}

// tlsChain is the part of a listener for one server name.
func (s shapes) tlsChain(name, to string) *listener.FilterChain {
	return &listener.FilterChain{
		FilterChainMatch: &listener.FilterChainMatch{ServerNames: []string{name}},
		TransportSocket: &core.TransportSocket{Name: "envoy.transport_sockets.tls", ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: xds.Any(&tlsv3.DownstreamTlsContext{
			CommonTlsContext: &tlsv3.CommonTlsContext{TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: "svc:" + name, SdsConfig: ads(fetchTimeout)}}},
		})}},
		Filters: []*listener.Filter{{Name: "only", ConfigType: &listener.Filter_TypedConfig{TypedConfig: xds.Any(&tcp.TcpProxy{
			StatPrefix: name, ClusterSpecifier: &tcp.TcpProxy_Cluster{Cluster: to},
		})}}},
	}
}

// certificate is one that signs itself, and its key.
func certificate(t *testing.T) (chain, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"good"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}
