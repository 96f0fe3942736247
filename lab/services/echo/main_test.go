package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/lab/services/demo"
)

// started serves one protocol on a free port until the test ends.
func started(t *testing.T, serve func(*echo, context.Context, string) error) (address string, e *echo) {
	t.Helper()
	t.Setenv("NIXMESH_HOST", "app1")
	ctx, stop := context.WithCancel(t.Context())
	read, write := io.Pipe()
	e = &echo{name: "echo", log: log.New(write, "", 0)}
	ended := make(chan error, 1)
	go func() { ended <- serve(e, ctx, "127.0.0.1:0") }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "listening on ")), e
}

func TestHTTP(t *testing.T) {
	address, e := started(t, (*echo).serveHTTP)
	for version, protocols := range map[int]func(*http.Protocols){
		1: func(p *http.Protocols) { p.SetHTTP1(true) },
		2: func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		transport := &http.Transport{Protocols: &http.Protocols{}}
		protocols(transport.Protocols)
		r, err := (&http.Client{Transport: transport}).Get("http://" + address + "/a")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if want := fmt.Sprintf("GET /a HTTP/%d.", version); err != nil || !strings.Contains(string(body), want) {
			t.Errorf("got %q, %v; want %q in it", body, err, want)
		}
		transport.CloseIdleConnections()
	}
	if n := e.stats.Requests.Load(); n != 2 {
		t.Errorf("counted %d requests", n)
	}
	conn, _, err := websocket.Dial(t.Context(), "ws://"+address+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, message, err := conn.Read(t.Context()); err != nil || string(message) != "hello" {
		t.Errorf("got %q, %v", message, err)
	}
	if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
}

func TestTCP(t *testing.T) {
	for banner, want := range map[bool]string{false: "hello\n", true: "echo on app1\nhello\n"} {
		address, _ := started(t, func(e *echo, ctx context.Context, address string) error { return e.serveTCP(ctx, address, banner) })
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		var got string
		if banner { // it comes before the caller says anything
			if got, err = r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprintln(conn, "hello")
		line, err := r.ReadString('\n')
		if err != nil || got+line != want {
			t.Errorf("got %q, %v; want %q", got+line, err, want)
		}
	}
}

func TestGRPC(t *testing.T) {
	address, _ := started(t, (*echo).serveGRPC)
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	well, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || well.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health %v, %v", well, err)
	}
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/nixmesh.lab.Echo/Stream")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		m := &wrapperspb.StringValue{}
		if err := stream.SendMsg(wrapperspb.String(text)); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(m); err != nil || m.Value != text {
			t.Errorf("sent %q, got %q, %v", text, m.Value, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if err := stream.RecvMsg(&wrapperspb.StringValue{}); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
}

// One that fails ends the others, and nothing to listen on is an error.
func TestServe(t *testing.T) {
	quiet := log.New(io.Discard, "", 0)
	err := options{tcp: "127.0.0.1:0", http: "nowhere:http"}.serve(t.Context(), demo.Faults{}, quiet)
	if err == nil || !strings.Contains(err.Error(), "listen:") {
		t.Errorf("got %v", err)
	}
	if err := (options{}).serve(t.Context(), demo.Faults{}, quiet); err == nil {
		t.Error("no address is no error")
	}
}
