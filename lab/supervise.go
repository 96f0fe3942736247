package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lockFD is where the supervisor has the lab's lock.
const lockFD = configFD + 1

// startDeadline bounds the time from the supervisor's start until it listens,
// which takes some 20 ms.
const startDeadline = 30 * time.Second

// superviseConfig is what `lab up` writes to the supervisor's descriptor 3
// when the machine's link is in the supervisor's network namespace. An end of
// file before that means that `lab up` is gone: the supervisor ends, too.
type superviseConfig struct {
	State  string // the lab's state folder
	ID     string // of the lab, see Lab.id
	Base   string // root folder of the base image
	Images string // folder with empty file systems
}

// supervisor runs the hosts of one lab. It is process 1 of its PID namespace.
type supervisor struct {
	superviseConfig
	cgroups cgroups
	log     *slog.Logger

	mu       sync.Mutex // guards everything below
	hosts    []*host
	made     int // hosts so far, also those that could not be made
	networks []netip.Prefix
	cuts     []cut

	answering sync.Mutex // guards servers; held before mu
	servers   map[netip.AddrPort]*answerServer
}

// superviseStage serves requests until it is killed.
func superviseStage([]string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	pipe, lock := os.NewFile(configFD, "config"), os.NewFile(lockFD, "lock")
	syscall.CloseOnExec(configFD)
	syscall.CloseOnExec(lockFD)
	// Whoever waits for the lock must not wait for ever.
	late := time.AfterFunc(startDeadline, func() {
		log.Error("the supervisor took too long to start", "limit", startDeadline)
		os.Exit(1)
	})
	s := &supervisor{log: log, servers: map[netip.AddrPort]*answerServer{}}
	if err := json.NewDecoder(pipe).Decode(&s.superviseConfig); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	pipe.Close()
	var m mounts
	m.private()
	m.mount("proc", "/proc", "proc", 0, "")
	m.mount("proc", filepath.Join(s.Base, "proc"), "proc", 0, "") // for ip(8), which finds namespaces there
	if m.err != nil {
		return m.err
	}
	if err := os.Chdir(s.State); err != nil {
		return fmt.Errorf("enter state folder: %w", err)
	}
	var err error
	if s.cgroups, err = openCgroups(filepath.Join(s.State, "cgroup"), s.ID); err != nil {
		return err
	}
	if err := makeBridge(s.Base); err != nil {
		return fmt.Errorf("make network: %w", err)
	}
	if err := os.Remove(controlSocket); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("listen: %w", err)
	}
	listener, err := net.Listen("unix", controlSocket)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if err := os.Chmod(controlSocket, 0o600); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	late.Stop()
	lock.Close()
	for {
		conn, err := listener.Accept()
		if err != nil { // no descriptor is free, say; to end would end the hosts
			log.Error("accept", "err", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go s.serve(conn) // ends by its deadline
	}
}

// serve answers one request.
func (s *supervisor) serve(conn net.Conn) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(controlDeadline)); err != nil {
		s.log.Warn("read request", "err", err)
		return
	}
	var r request
	if err := json.NewDecoder(conn).Decode(&r); err != nil {
		s.log.Warn("read request", "err", err)
		return
	}
	answer, err := s.answer(r)
	if err != nil {
		answer = reply{Error: err.Error()}
	}
	if r.Op != "status" {
		s.log.Info("request", "op", r.Op, "host", r.Host, "err", err)
	}
	if err := json.NewEncoder(conn).Encode(answer); err != nil {
		s.log.Warn("write reply", "err", err)
	}
}

func (s *supervisor) answer(r request) (reply, error) {
	switch r.Op {
	case "status":
		return reply{Status: s.status()}, nil
	case "add":
		return reply{}, errors.Join(s.add(r.Add), s.answerFor(r.Add.Answers))
	case "break":
		return reply{}, s.breakHost(r.Host, r.Fault)
	case "partition":
		return reply{}, s.partition(r.A, r.B)
	case "heal":
		return reply{}, s.heal()
	default:
		return reply{}, fmt.Errorf("the supervisor knows no request %q: it is of another version of nixmesh; run nixmesh lab down, then lab up", r.Op)
	}
}

// host finds a host by name.
func (s *supervisor) host(name string) (*host, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.hosts, func(h *host) bool { return h.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("the lab has no host %q; nixmesh lab status lists those it has", name)
	}
	return s.hosts[i], nil
}

// add makes hosts that are new to the lab and boots them, all at once, with
// those of a.Boot that are down.
func (s *supervisor) add(a addition) error {
	s.mu.Lock()
	s.networks = a.Networks
	for _, h := range s.hosts {
		if slices.Contains(a.Boot, h.Name) {
			h.switchOn()
		}
	}
	begin := len(s.hosts)
	for _, spec := range a.Hosts {
		s.hosts = append(s.hosts, &host{
			Host: spec.Host, dir: filepath.Join(s.State, "hosts", spec.Name),
			port: fmt.Sprintf("host%d", s.made), wake: make(chan struct{}, 1), state: StateBooting, since: time.Now(),
		})
		s.made++
	}
	added := slices.Clone(s.hosts[begin:])
	s.mu.Unlock()
	errs := make(chan error)
	for i, h := range added {
		go func() { errs <- s.start(h, a.Hosts[i]) }()
	}
	var all []error
	for range added {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// start makes a host and runs it from then on. One that cannot be made is no
// host of the lab: the next add may try again.
func (s *supervisor) start(h *host, spec newHost) error {
	if err := h.open(s, spec); err != nil {
		h.unmount()
		s.mu.Lock()
		s.hosts = slices.DeleteFunc(s.hosts, func(other *host) bool { return other == h })
		s.mu.Unlock()
		return fmt.Errorf("make host %s: %w", h.Name, err)
	}
	go h.run(s) // as long as the supervisor lives
	return nil
}

// kill takes the power from a process and everything below it.
func kill(pid int) error { return unix.Kill(pid, unix.SIGKILL) }
