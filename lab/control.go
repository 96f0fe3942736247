package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// controlSocket is the supervisor's socket in the state folder.
	controlSocket = "control.sock"
	// controlDeadline bounds one request. The longest, adding hosts, copies
	// images and mounts them.
	controlDeadline = 60 * time.Second
)

// request is one line of JSON to the supervisor; reply is the answer.
type request struct {
	Op    string   // status, add, break, partition, heal
	Add   addition `json:",omitzero"`
	Host  string   `json:",omitempty"`
	A, B  []string `json:",omitempty"`
	Fault Fault    `json:",omitzero"`
}

type reply struct {
	Error  string       `json:",omitempty"`
	Status []HostStatus `json:",omitempty"`
}

// dialControl connects to the supervisor of a state folder and returns its
// process id. A folder's path may be longer than a socket address can be, so
// the path goes through a descriptor.
func dialControl(ctx context.Context, state string) (net.Conn, int, error) {
	dir, err := os.Open(state)
	if err != nil {
		return nil, 0, fmt.Errorf("open lab: %w", err)
	}
	defer dir.Close()
	path := filepath.Join(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()), controlSocket)
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, 0, ErrNotRunning
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reach the lab's supervisor: %w", err)
	}
	pid, err := peerPID(conn.(*net.UnixConn))
	if err != nil {
		conn.Close()
		return nil, 0, fmt.Errorf("reach the lab's supervisor: %w", err)
	}
	return conn, pid, nil
}

// peerPID is the process that listens at the other end, in the numbers of this
// process's namespace.
func peerPID(conn *net.UnixConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	if cred.Pid == 0 { // as a target of kill it would be this process's group
		return 0, errors.New("it runs in a PID namespace that this process does not see; run nixmesh lab where lab up was run")
	}
	return int(cred.Pid), nil
}

// ask sends one request to the supervisor and returns its process id, too.
func (l *Lab) ask(ctx context.Context, r request) (reply, int, error) {
	conn, pid, err := dialControl(ctx, l.state)
	if err != nil {
		return reply{}, 0, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(controlDeadline)); err != nil {
		return reply{}, pid, fmt.Errorf("ask the lab's supervisor: %w", err)
	}
	var answer reply
	err = json.NewEncoder(conn).Encode(r)
	if err == nil {
		err = json.NewDecoder(conn).Decode(&answer)
	}
	if err != nil {
		return reply{}, pid, fmt.Errorf("ask the lab's supervisor: %w", err)
	}
	if answer.Error != "" {
		return reply{}, pid, errors.New(answer.Error)
	}
	return answer, pid, nil
}
