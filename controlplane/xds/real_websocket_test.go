package xds

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// A WebSocket outlives the timeout of requests, and ends when it is idle for as long
// as upgraded connections may be.
func TestEnvoyKeepsWebSockets(t *testing.T) {
	t.Run("in use", func(t *testing.T) {
		conn, stream := openChat(t, testPatience)
		for begun := time.Now(); time.Since(begun) < 5*chatTimeout; {
			fmt.Fprintln(conn, "hello")
			if line, err := stream.ReadString('\n'); err != nil || line != "hello\n" {
				t.Fatalf("%q %v after %s", line, err, time.Since(begun))
			}
		}
	})
	t.Run("idle", func(t *testing.T) {
		const idle = 2 * time.Second
		begun := time.Now()
		_, stream := openChat(t, idle)
		line, err := stream.ReadString('\n')
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) < idle {
			t.Errorf("%q %v after %s", line, err, time.Since(begun))
		}
	})
}

const chatTimeout = 100 * time.Millisecond // of requests to chat

// openChat starts a host whose service web has a WebSocket open to chat, which may
// be idle for a time.
func openChat(t *testing.T, idle time.Duration) (conn net.Conn, stream *bufio.Reader) {
	t.Helper()
	o := newOutgoing(t)
	o.config.Hosts["app1"].Address = loopback(t)
	_, e := o.to("chat", "http", on("app1"))
	e.Timeout = new(mesh.Duration(chatTimeout))
	o.config.Defaults[mesh.Upgraded] = mesh.Defaults{IdleTimeout: mesh.Duration(idle)}
	o.endpoints["chat"] = up(o.config, "chat")
	port := backend(t, false)
	o.start(func(in *Input) {
		in.Facts.Instances = append(in.Facts.Instances, runs("chat", "", hostfacts.Listen{Protocol: "http", Port: port}))
	})
	o.envoy.eventually("no WebSocket is opened in time", func() bool {
		var err error
		conn, stream, err = tryWebSocket(t, o.envoy.address("out:web:chat"))
		return err == nil
	})
	return conn, stream
}

// dialWebSocket opens a WebSocket to chat.
func dialWebSocket(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, stream, err := tryWebSocket(t, address)
	if err != nil {
		t.Fatal(err)
	}
	return conn, stream
}

func tryWebSocket(t *testing.T, address string) (net.Conn, *bufio.Reader, error) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(testPatience))
	fmt.Fprint(conn, "GET /room HTTP/1.1\r\nHost: chat.mesh\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	stream := bufio.NewReader(conn)
	answer, err := http.ReadResponse(stream, nil)
	if err == nil && answer.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("it answers %s", answer.Status)
	}
	return conn, stream, err
}
