package testkit

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/trust"
)

// SSHServer is an SSH server in this process. Its fields are set before the
// first connection; the faults are for tests of deadlines and lost connections.
type SSHServer struct {
	Addr    string
	HostKey string // "ssh-ed25519 AAAA…"
	// Authorized are the authorized_keys lines that may log in.
	Authorized []string
	// Exec runs a command. Its result is the exit status; NoStatus closes the
	// session without one, Hang leaves it open until the connection ends.
	Exec func(s *Session) int
	// Silent accepts TCP and never says a word.
	Silent bool
	// HangAuth never answers a login.
	HangAuth bool
	// DeafKeepAlive leaves global requests unanswered.
	DeafKeepAlive bool

	listener net.Listener
	signer   ssh.Signer
	wg       sync.WaitGroup
	stop     chan struct{}

	mu      sync.Mutex // guards what follows
	conns   map[net.Conn]bool
	signals []string
}

// Results of Exec that are no exit status.
const (
	NoStatus = -1
	Hang     = -2
)

// Session is one command on the server.
type Session struct {
	Line   string
	User   string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Killed is closed when the client sends SIGKILL or the session ends.
	Killed <-chan struct{}
	// Drop cuts the TCP connection.
	Drop func()
}

// NewSSHServer makes a server on a free port of 127.0.0.1 that is not started.
func NewSSHServer(t *testing.T) *SSHServer {
	t.Helper()
	key, err := trust.GenerateSSHKey("host")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &SSHServer{Addr: l.Addr().String(), HostKey: key.Authorized, signer: key.Signer,
		listener: l, stop: make(chan struct{}), conns: map[net.Conn]bool{}}
}

// Start serves until the test ends.
func (s *SSHServer) Start(t *testing.T) {
	t.Cleanup(func() {
		close(s.stop)
		_ = s.listener.Close()
		s.DropAll()
		s.wg.Wait()
	})
	s.wg.Go(func() {
		for {
			raw, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[raw] = true
			s.mu.Unlock()
			s.wg.Go(func() { s.serve(raw) })
		}
	})
}

// Target is how a client reaches the server.
func (s *SSHServer) Target(user string, keyFiles ...string) remote.Target {
	host, port, _ := net.SplitHostPort(s.Addr)
	n, _ := strconv.Atoi(port)
	return remote.Target{Name: "app1", Address: host, Port: n, User: user, HostKey: s.HostKey, KeyFiles: keyFiles, NoConfig: true}
}

// DropAll cuts every connection.
func (s *SSHServer) DropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Signals are those that clients sent to sessions, in order.
func (s *SSHServer) Signals() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.signals...)
}

func (s *SSHServer) serve(raw net.Conn) {
	defer func() {
		raw.Close()
		s.mu.Lock()
		delete(s.conns, raw)
		s.mu.Unlock()
	}()
	if s.Silent {
		<-s.stop
		return
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if s.HangAuth {
			<-s.stop
		}
		for _, line := range s.Authorized {
			k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
			if err == nil && bytes.Equal(k.Marshal(), key.Marshal()) {
				return nil, nil
			}
		}
		return nil, errors.New("unknown key")
	}}
	config.AddHostKey(s.signer)
	conn, channels, requests, err := ssh.NewServerConn(raw, config)
	if err != nil {
		return
	}
	s.wg.Go(func() {
		for r := range requests {
			if !s.DeafKeepAlive && r.WantReply {
				_ = r.Reply(false, nil)
			}
		}
	})
	for c := range channels {
		switch c.ChannelType() {
		case "session":
			s.wg.Go(func() { s.session(conn, raw, c) })
		case "direct-tcpip":
			s.wg.Go(func() { forward(c) })
		default:
			_ = c.Reject(ssh.UnknownChannelType, "not here")
		}
	}
}

func (s *SSHServer) session(conn *ssh.ServerConn, raw net.Conn, c ssh.NewChannel) {
	channel, requests, err := c.Accept()
	if err != nil {
		return
	}
	defer func() { _ = channel.Close() }()
	killed := make(chan struct{})
	var once sync.Once
	kill := func() { once.Do(func() { close(killed) }) }
	defer kill()
	started := false
	for r := range requests {
		switch {
		case r.Type == "exec" && !started:
			started = true
			var cmd struct{ Line string }
			_ = ssh.Unmarshal(r.Payload, &cmd)
			session := &Session{Line: cmd.Line, User: conn.User(), Stdin: channel, Stdout: channel,
				Stderr: channel.Stderr(), Killed: killed, Drop: func() { raw.Close() }}
			_ = r.Reply(true, nil)
			s.wg.Go(func() { s.finish(channel, s.Exec(session)) })
		case r.Type == "signal":
			var sig struct{ Name string }
			_ = ssh.Unmarshal(r.Payload, &sig)
			s.mu.Lock()
			s.signals = append(s.signals, sig.Name)
			s.mu.Unlock()
			if sig.Name == "KILL" {
				kill()
			}
		case r.WantReply:
			_ = r.Reply(false, nil)
		}
	}
}

// finish ends a session as its command ended.
func (s *SSHServer) finish(channel ssh.Channel, status int) {
	switch status {
	case Hang:
		<-s.stop
	case NoStatus:
	default:
		_ = channel.CloseWrite()
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
	}
	_ = channel.Close()
}

// forward serves ProxyJump.
func forward(c ssh.NewChannel) {
	var to struct {
		Host     string
		Port     uint32
		From     string
		FromPort uint32
	}
	if err := ssh.Unmarshal(c.ExtraData(), &to); err != nil {
		_ = c.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	out, err := net.Dial("tcp", net.JoinHostPort(strings.TrimSpace(to.Host), strconv.Itoa(int(to.Port))))
	if err != nil {
		_ = c.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer out.Close()
	channel, requests, err := c.Accept()
	if err != nil {
		return
	}
	defer func() { _ = channel.Close() }()
	go ssh.DiscardRequests(requests)
	done := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(out, channel); done <- struct{}{} }()
	go func() { _, _ = io.Copy(channel, out); done <- struct{}{} }()
	<-done
}
