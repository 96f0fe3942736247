package lab

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of what a caller may send to the lab's answers.
const (
	answerHeaders = 10 * time.Second // until a request's headers are there
	redisArgument = 1 << 20          // bytes
)

// answerServer is an answer that is being given.
type answerServer struct {
	answer
	listener net.Listener
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// serve begins to answer, until close.
func (a answer) serve(log *slog.Logger) (*answerServer, error) {
	listener, err := net.Listen("tcp", a.Address.String())
	if err != nil {
		return nil, err
	}
	if len(a.Chain) > 0 {
		pair, err := tls.X509KeyPair(a.Chain, a.Key)
		if err != nil {
			return nil, errors.Join(err, listener.Close())
		}
		config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		if a.isHTTP() {
			config.NextProtos = []string{"h2", "http/1.1"}
		}
		listener = tls.NewListener(listener, config)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &answerServer{answer: a, listener: listener, stop: stop}
	s.running.Go(func() {
		if err := s.run(ctx); err != nil && ctx.Err() == nil {
			log.Error("answer for an external", "external", a.Name, "err", err)
		}
	})
	return s, nil
}

func (a answer) isHTTP() bool { return a.Protocol != "tcp" && a.Protocol != "redis" }

// close ends the answer with its connections.
func (s *answerServer) close() {
	s.stop()
	_ = s.listener.Close() // the running end, whatever it says
	s.running.Wait()
}

func (s *answerServer) run(ctx context.Context) error {
	if s.isHTTP() {
		server := &http.Server{Handler: s, ReadHeaderTimeout: answerHeaders, Protocols: &http.Protocols{}}
		server.Protocols.SetHTTP1(true)
		server.Protocols.SetHTTP2(true)
		server.Protocols.SetUnencryptedHTTP2(true)
		stop := context.AfterFunc(ctx, func() { _ = server.Close() })
		defer stop()
		return server.Serve(s.listener)
	}
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return err
		}
		s.running.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			if s.Protocol == "redis" {
				_ = echoRedis(conn) // the caller sees what is missing
			} else {
				_, _ = io.Copy(struct{ io.Writer }{conn}, conn) // the caller is gone
			}
		})
	}
}

// ServeHTTP answers with what was asked: who answers, method, path, headers, body.
// A call of gRPC gets its messages back.
func (s *answerServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.Header().Set("Trailer", "Grpc-Status")
		copyFlushed(w, r.Body)
		w.Header().Set("Grpc-Status", "0")
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "the lab answers for %s\n%s %s %s\nhost: %s\n", s.Name, r.Method, r.URL.RequestURI(), r.Proto, r.Host)
	if r.TLS != nil {
		fmt.Fprintf(w, "server name: %s\n", r.TLS.ServerName)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(w, "%s: %s\n", strings.ToLower(name), strings.Join(r.Header[name], ", "))
	}
	if r.ContentLength != 0 {
		fmt.Fprintln(w)
		_, _ = io.Copy(w, r.Body) // the caller sees what is missing
	}
}

// copyFlushed hands on what is read as it comes.
func copyFlushed(w http.ResponseWriter, r io.Reader) {
	out := http.NewResponseController(w)
	if out.Flush() != nil {
		return // the caller is gone
	}
	buffer := make([]byte, 32<<10)
	for {
		n, err := r.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil || out.Flush() != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// echoRedis answers PING and ECHO, and refuses every other command, until the
// caller closes.
func echoRedis(conn net.Conn) error {
	r := bufio.NewReader(conn)
	for {
		words, err := readRedis(r)
		if err != nil {
			return err
		}
		said := "-ERR the lab answers PING and ECHO\r\n"
		switch {
		case len(words) == 1 && strings.EqualFold(words[0], "PING"):
			said = "+PONG\r\n"
		case len(words) == 2 && strings.EqualFold(words[0], "ECHO"):
			said = fmt.Sprintf("$%d\r\n%s\r\n", len(words[1]), words[1])
		}
		if _, err := io.WriteString(conn, said); err != nil {
			return err
		}
	}
}

// readRedis reads one command, as an array of strings or as a line.
func readRedis(r *bufio.Reader) ([]string, error) {
	line, err := redisLine(r)
	if err != nil || !strings.HasPrefix(line, "*") {
		return strings.Fields(line), err
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || n < 0 || n > 16 {
		return nil, errors.New("read command: no number of arguments from 0 to 16")
	}
	var words []string
	for range n {
		if line, err = redisLine(r); err != nil {
			return nil, err
		}
		size, err := strconv.Atoi(strings.TrimPrefix(line, "$"))
		if err != nil || size < 0 || size > redisArgument {
			return nil, errors.New("read command: an argument has no length, or is too long")
		}
		word := make([]byte, size+len("\r\n"))
		if _, err := io.ReadFull(r, word); err != nil {
			return nil, err
		}
		words = append(words, string(word[:size]))
	}
	return words, nil
}

// redisLine reads a line of at most the reader's buffer.
func redisLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	return strings.TrimRight(string(line), "\r\n"), err
}

// sameNames says whether two certificates are one CA's for the same names, or both
// are none.
func sameNames(a, b []byte) bool { return slices.Equal(namesOf(a), namesOf(b)) }

func namesOf(chain []byte) []string {
	block, _ := pem.Decode(chain)
	if block == nil {
		return nil
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	names := append([]string{string(leaf.AuthorityKeyId)}, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}
