package xds

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/internal/testkit/envoytest"
	"github.com/nixmesh/nixmesh/mesh"
)

// authority is the CA of one test.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte

	given map[string]Leaf // secret -> what is in it; others are of services
	more  map[string]any  // of the bootstrap of its Envoy
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t: t, key: key, cert: cert, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// leaf is a certificate for a SPIFFE name.
func (a *authority) leaf(id string) Leaf {
	uri, err := url.Parse(id)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.certify(&x509.Certificate{URIs: []*url.URL{uri}, NotAfter: time.Now().Add(time.Hour)})
}

// server is a certificate for names of hosts.
func (a *authority) server(until time.Time, hosts ...string) Leaf {
	return a.certify(&x509.Certificate{DNSNames: hosts, NotAfter: until})
}

func (a *authority) certify(template *x509.Certificate) Leaf {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore = big.NewInt(2), time.Now().Add(-time.Hour)
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return Leaf{Chain: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})}
}

// envoy is a real one that runs what was built.
type envoy struct {
	t         *testing.T
	ca        *authority
	admin     *http.Client
	log       string // file of what it wrote
	listeners string // file that it takes its listeners from
	version   int    // of that file
}

// startEnvoy starts one on the rendering of an output, with the certificates of a
// CA for the names of the mesh.
func startEnvoy(t *testing.T, ca *authority, out *Output) *envoy {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "admin.sock")
	e := &envoy{t: t, ca: ca, log: filepath.Join(dir, "log"), listeners: filepath.Join(dir, "listeners.json"), admin: &http.Client{
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}},
	}}
	static := e.listen(out)
	bootstrap := map[string]any{
		"admin":             map[string]any{"address": map[string]any{"pipe": map[string]any{"path": socket}}},
		"node":              map[string]any{"id": "app1", "cluster": "shop"},
		"static_resources":  static,
		"layered_runtime":   runtime(),
		"dynamic_resources": map[string]any{"lds_config": map[string]any{"resource_api_version": "V3", "path_config_source": map[string]any{"path": e.listeners}}},
	}
	maps.Copy(bootstrap, ca.more)
	text, err := json.Marshal(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "bootstrap.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(e.log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(envoytest.Binary(t), "-c", file, "--concurrency", "1", "--use-dynamic-base-id", "-l", "error", "--file-flush-interval-msec", "10", "--drain-time-s", "1")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	})
	e.eventually("it is not ready", func() bool {
		answer, err := e.ask("/ready")
		return err == nil && strings.HasPrefix(answer, "LIVE")
	})
	return e
}

// listen has it listen as an output says; the clusters and secrets are given back.
func (e *envoy) listen(out *Output) map[string][]map[string]any {
	e.t.Helper()
	text, err := (&renderer{out: out, leaf: func(secret string, _ []byte) (Leaf, error) {
		if given, ok := e.ca.given[secret]; ok {
			return given, nil
		}
		return e.ca.leaf(ID(testDomain, strings.TrimPrefix(secret, "svc:"))), nil
	}}).render()
	if err != nil {
		e.t.Fatal(err)
	}
	var bootstrap struct {
		Static map[string][]map[string]any `json:"static_resources"`
	}
	if err := json.Unmarshal(text, &bootstrap); err != nil {
		e.t.Fatal(err)
	}
	listeners := bootstrap.Static["listeners"]
	delete(bootstrap.Static, "listeners")
	for _, l := range listeners {
		l["@type"] = Listener
	}
	e.version++
	if text, err = json.Marshal(map[string]any{"version_info": fmt.Sprint(e.version), "resources": listeners}); err != nil {
		e.t.Fatal(err)
	}
	if err := os.WriteFile(e.listeners+".new", text, 0o600); err != nil {
		e.t.Fatal(err)
	}
	if err := os.Rename(e.listeners+".new", e.listeners); err != nil { // Envoy looks for moves
		e.t.Fatal(err)
	}
	return bootstrap.Static
}

// stat is a counter or gauge.
func (e *envoy) stat(name string) int {
	e.t.Helper()
	text, err := e.ask("/stats?filter=^" + regexp.QuoteMeta(name) + "$")
	if err != nil {
		e.t.Fatal(err)
	}
	_, value, _ := strings.Cut(strings.TrimSpace(text), ": ")
	n, _ := strconv.Atoi(value) // it is 0 until it is counted
	return n
}

// active is how many requests are under way in a listener of HTTP.
func (e *envoy) active(listener string) int {
	e.t.Helper()
	name := ".downstream_rq_active"
	return e.stat("http."+listener+name) + e.stat("http."+strings.ReplaceAll(listener, ":", "_")+name) // before 1.40, and since
}

func (e *envoy) ask(path string) (string, error) {
	answer, err := e.admin.Get("http://envoy" + path)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

// testPatience is after how long a test gives up what a machine with other work may
// take its time for.
const testPatience = 2 * time.Minute

// patient lets no request end for what the machine has to do besides, unless its
// edge says when.
func patient(c *mesh.Config) {
	for _, protocol := range []string{"http", "http2"} {
		d := c.Defaults[protocol]
		d.Timeout = mesh.Duration(testPatience)
		c.Defaults[protocol] = d
	}
}

// eventually waits for a condition.
func (e *envoy) eventually(what string, is func() bool) {
	e.t.Helper()
	for end := time.Now().Add(testPatience); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) && !is() {
			e.t.Fatalf("%s; envoy wrote:\n%s", what, e.wrote())
		}
	}
}

func (e *envoy) wrote() string {
	text, err := os.ReadFile(e.log)
	if err != nil {
		e.t.Fatal(err)
	}
	return string(text)
}

// address is where a listener is bound.
func (e *envoy) address(listener string) string {
	e.t.Helper()
	text, err := e.ask("/listeners?format=json")
	if err != nil {
		e.t.Fatal(err)
	}
	var all struct {
		Statuses []struct {
			Name    string `json:"name"`
			Address struct {
				Socket struct {
					Address string `json:"address"`
					Port    int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		e.t.Fatal(err)
	}
	for _, l := range all.Statuses {
		if l.Name == listener {
			return fmt.Sprintf("%s:%d", l.Address.Socket.Address, l.Address.Socket.Port)
		}
	}
	e.t.Fatalf("there is no listener %s in %s", listener, text)
	return ""
}

// caller is the TLS of a client that is not Envoy; without an identity it shows none.
func (a *authority) caller(id, serverName, protocol string) *tls.Config {
	config := &tls.Config{
		ServerName: serverName, NextProtos: []string{protocol}, InsecureSkipVerify: true, // names of the mesh are checked below
		VerifyConnection: func(state tls.ConnectionState) error {
			roots := x509.NewCertPool()
			roots.AddCert(a.cert)
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots})
			return err
		},
	}
	if id != "" {
		leaf := a.leaf(id)
		pair, err := tls.X509KeyPair(leaf.Chain, leaf.Key)
		if err != nil {
			a.t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config
}

// client speaks HTTP/2 to one address.
func client(t *testing.T, address string, config *tls.Config) *http.Client {
	transport := &http.Transport{
		TLSClientConfig: config, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: testPatience}
}
