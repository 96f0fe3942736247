package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	bigendian "encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// grpcStream is a call of gRPC that streams both ways.
type grpcStream struct {
	send     *io.PipeWriter
	begun    <-chan error // one, when the server has answered with headers
	response *http.Response
}

// stream begins a call; c speaks HTTP/2. The server may wait for a message.
func stream(ctx context.Context, c *http.Client, url string) (*grpcStream, error) {
	r, w := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, r)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("Te", "trailers")
	begun := make(chan error, 1)
	s := &grpcStream{send: w, begun: begun}
	go func() { begun <- s.begin(c, request) }() // as long as the call, which ctx and the client bound
	return s, nil
}

func (s *grpcStream) begin(c *http.Client, request *http.Request) error {
	response, err := c.Do(request)
	if err != nil {
		return err
	}
	s.response = response
	if code := response.Header.Get("Grpc-Status"); code != "" && code != "0" || response.StatusCode != http.StatusOK {
		response.Body.Close()
		return fmt.Errorf("status %d, gRPC %s %s", response.StatusCode, code, response.Header.Get("Grpc-Message"))
	}
	return nil
}

// echo sends a message and gives the one that comes back.
func (s *grpcStream) echo(message []byte) ([]byte, error) {
	frame := bigendian.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	if _, err := s.send.Write(append(frame, message...)); err != nil {
		return nil, err
	}
	if s.begun != nil {
		if err := <-s.begun; err != nil {
			return nil, err
		}
		s.begun = nil
	}
	head := make([]byte, 5)
	if _, err := io.ReadFull(s.response.Body, head); err != nil {
		return nil, err
	}
	got := make([]byte, bigendian.BigEndian.Uint32(head[1:]))
	_, err := io.ReadFull(s.response.Body, got)
	return got, err
}

// end closes the caller's half and reads how the call ended.
func (s *grpcStream) end() error {
	defer s.response.Body.Close()
	if err := s.send.Close(); err != nil {
		return err
	}
	rest, err := io.ReadAll(s.response.Body)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d more bytes", len(rest))
	}
	if status := s.response.Trailer.Get("Grpc-Status"); status != "0" {
		return fmt.Errorf("gRPC %s: %s", status, s.response.Trailer.Get("Grpc-Message"))
	}
	return nil
}

// webSocket is one, without its messages' fragments: those of the test are short.
type webSocket struct {
	net.Conn
	r *bufio.Reader
}

// webSocket opens one to a service.
func (c *caller) webSocket(t *testing.T, name string) *webSocket {
	t.Helper()
	conn, err := c.DialContext(t.Context(), "tcp", name+":80")
	if err != nil {
		t.Fatalf("%s dials %s: %v", c, name, err)
	}
	w, err := openWebSocket(conn, name, "/ws")
	if err != nil {
		t.Fatalf("%s opens a WebSocket to %s: %v", c, name, err)
	}
	return w
}

// openWebSocket shakes hands on a connection.
func openWebSocket(conn net.Conn, host, path string) (*webSocket, error) {
	if err := conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return nil, err
	}
	key := base64.StdEncoding.EncodeToString([]byte("sixteen bytes of"))
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", path, host, key); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, errors.New(response.Status)
	}
	return &webSocket{conn, r}, nil
}

// echo sends a text of less than 126 bytes and wants it back.
func (w *webSocket) echo(text string) error {
	if err := w.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	mask := []byte{1, 2, 3, 4}
	frame := append([]byte{0x81, 0x80 | byte(len(text))}, mask...)
	for i := range len(text) {
		frame = append(frame, text[i]^mask[i%4])
	}
	if _, err := w.Write(frame); err != nil {
		return err
	}
	got := make([]byte, 2+len(text))
	if _, err := io.ReadFull(w.r, got); err != nil {
		return err
	}
	if want := append([]byte{0x81, byte(len(text))}, text...); !bytes.Equal(got, want) {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return nil
}
