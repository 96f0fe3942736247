package lab

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// free is an address of this machine that nobody listens on.
func free(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

// answered begins to answer for an external at a free address, with a certificate
// of a CA for a name unless that is empty.
func answered(t *testing.T, protocol, name string) (address string, roots *x509.CertPool) {
	t.Helper()
	a := answer{Name: "stripe", Protocol: protocol, Address: free(t)}
	if name != "" {
		ca, err := newCA(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if a.Chain, a.Key, err = ca.Issue([]string{name}, time.Now()); err != nil {
			t.Fatal(err)
		}
		roots = x509.NewCertPool()
		roots.AddCert(ca.pair.Leaf)
	}
	s, err := a.serve(slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return a.Address.String(), roots
}

func TestAnswerHTTPS(t *testing.T) {
	t.Parallel()
	address, roots := answered(t, "http", "api.stripe.com")
	for _, tt := range []struct {
		name string
		h2   bool
		want string
	}{
		{"api.stripe.com", false, "the lab answers for stripe\nPOST /v1 HTTP/1.1\nhost: " + address + "\nserver name: api.stripe.com\n"},
		{"api.stripe.com", true, "POST /v1 HTTP/2.0"},
		{"other.example", false, "certificate is valid for api.stripe.com, not other.example"},
	} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: tt.name}, Protocols: &http.Protocols{}}
		transport.Protocols.SetHTTP1(!tt.h2)
		transport.Protocols.SetHTTP2(tt.h2)
		r, err := (&http.Client{Transport: transport}).Post("https://"+address+"/v1", "text/plain", strings.NewReader("body"))
		got := fmt.Sprint(err)
		if err == nil {
			body, err := io.ReadAll(r.Body)
			r.Body.Close()
			if got = string(body); err != nil || !strings.HasSuffix(got, "\n\nbody") {
				t.Errorf("got %q, %v", got, err)
			}
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q in it", tt.name, got, tt.want)
		}
		transport.CloseIdleConnections()
	}
}

func TestAnswerGRPC(t *testing.T) {
	t.Parallel()
	address, _ := answered(t, "grpc", "")
	transport := &http.Transport{Protocols: &http.Protocols{}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	message := []byte("\x00\x00\x00\x00\x02\x0a\x00")
	r, err := (&http.Client{Transport: transport}).Post("http://"+address+"/a.B/C", "application/grpc", bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	got, err := io.ReadAll(r.Body)
	if err != nil || !bytes.Equal(got, message) || r.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("got %q, trailer %v, %v", got, r.Trailer, err)
	}
}

func TestAnswerBytes(t *testing.T) {
	t.Parallel()
	for protocol, pairs := range map[string][][2]string{
		"tcp": {{"hello\n", "hello\n"}},
		"redis": {{"PING\r\n", "+PONG\r\n"}, {"*1\r\n$4\r\nping\r\n", "+PONG\r\n"}, {"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n", "$2\r\n"}, {"", "hi\r\n"},
			{"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "-ERR the lab answers PING and ECHO\r\n"}},
	} {
		address, _ := answered(t, protocol, "")
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		for _, pair := range pairs {
			if _, err := io.WriteString(conn, pair[0]); err != nil {
				t.Fatal(err)
			}
			if got, err := r.ReadString('\n'); err != nil || got != pair[1] {
				t.Errorf("%s: sent %q, got %q, %v; want %q", protocol, pair[0], got, err, pair[1])
			}
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	at := func(s string) []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort(s)} }
	hosts := []Host{{Name: "h1", Address: netip.MustParseAddr("10.99.0.1")}}
	for _, tt := range []struct {
		what      string
		externals []External
		want      string
	}{
		{"one with TLS, one elsewhere", []External{{Name: "a", Protocol: "http", Addresses: at("10.99.0.250:443"), TLS: true, ServerName: "a.example"}, {Name: "b", Addresses: at("10.1.0.1:443")}},
			"a http 10.99.0.250:443 [a.example]"},
		{"an address for a name", []External{{Name: "a", Protocol: "tcp", Addresses: at("10.99.0.250:443"), TLS: true}}, "a tcp 10.99.0.250:443 [10.99.0.250]"},
		{"without TLS", []External{{Name: "a", Protocol: "redis", Addresses: at("10.99.0.250:1")}}, "a redis 10.99.0.250:1 []"},
		{"two at one", []External{{Name: "a", Addresses: at("10.99.0.9:1")}, {Name: "b", Addresses: at("10.99.0.9:1")}}, "externals a and b are both at 10.99.0.9:1"},
		{"at a host", []External{{Name: "a", Addresses: at("10.99.0.1:1")}}, "is an address of the lab's own"},
	} {
		l, err := New(Options{StateDir: state, Cache: t.TempDir(), Hosts: hosts, Externals: tt.externals})
		if err != nil {
			t.Fatal(err)
		}
		all, err := l.answers(plan{machine: netip.MustParseAddr("10.99.0.254")}, time.Now())
		got := fmt.Sprint(err)
		if err == nil {
			got = ""
			for _, a := range all {
				got += fmt.Sprintln(a.Name, a.Protocol, a.Address, namesOf(a.Chain)[min(1, len(namesOf(a.Chain))):])
			}
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q in it", tt.what, got, tt.want)
		}
		for _, a := range all {
			again, err := l.answers(plan{}, time.Now())
			if err != nil || !again[0].same(a) && a.Name == "a" {
				t.Errorf("%s: not the same again, %v", tt.what, err)
			}
		}
	}
}
