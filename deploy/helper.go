package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/rollback"
)

// InstalledHelper is the host helper of the running system: the only command
// that the deploy user's sudo rule names.
const InstalledHelper = "/run/current-system/sw/bin/nixmesh-host"

// ErrSudo is an answer of sudo in place of the helper's. While an activation
// moves /run/current-system about one call in thirty ends so; during a switch it
// is tried again and never taken for a verdict.
var ErrSudo = errors.New("sudo did not run the host helper")

// LostError says that a call's outcome is unknown because the connection ended.
type LostError struct {
	Host string
	Err  error
}

func (e *LostError) Error() string {
	var dial *remote.DialError
	var key *remote.HostKeyError
	var auth *remote.AuthError
	if errors.As(e.Err, &dial) || errors.As(e.Err, &key) || errors.As(e.Err, &auth) {
		return e.Err.Error() // names the host
	}
	return fmt.Sprintf("%s: connection lost: %v", e.Host, e.Err)
}

// Unwrap gives the transport's error.
func (e *LostError) Unwrap() error { return e.Err }

// RefusedError is a host's own refusal or failure, in its own words.
type RefusedError struct {
	Host    string
	Verb    string
	Status  int // exit status of the helper: 6 refused and nothing changed, 1 failed
	Refusal rollback.Refusal
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s: %s: %s", e.Host, e.Verb, e.Refusal.Error)
}

// refusalCode is the code of a host's refusal, "" for any other error.
func refusalCode(err error) string {
	var r *RefusedError
	if errors.As(err, &r) {
		return r.Refusal.Code
	}
	return ""
}

// lost says whether err leaves open what the host did.
func lost(err error) bool {
	var l *LostError
	return errors.As(err, &l)
}

// helper calls the verbs of nixmesh-host over one connection.
type helper struct {
	host string // name, for messages
	conn remote.Host
	// command is how the helper is started, words of a shell line.
	command string
}

// helperCommand is the shell line that starts the helper at path. Root needs no
// sudo.
func helperCommand(user, path string) string {
	if user == "root" {
		return path
	}
	return "sudo -n " + path
}

// call runs one verb: in is its request (nil = none), out takes its answer.
func (h helper) call(ctx context.Context, verb string, args []string, in, out any) error {
	var stdin io.Reader = strings.NewReader("")
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode %s request: %w", verb, err)
		}
		stdin = bytes.NewReader(b)
	}
	var stdout, stderr bytes.Buffer
	line := strings.Join(append([]string{h.command, verb}, args...), " ")
	status, err := h.conn.Run(ctx, remote.Command{Line: line, Stdin: stdin, Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		return &LostError{Host: h.host, Err: err}
	}
	if status != 0 {
		return h.refusal(verb, status, stdout.Bytes(), stderr.String())
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(stdout.Bytes(), out); err != nil {
		return fmt.Errorf("%s: read answer of %s: %w", h.host, verb, err)
	}
	return nil
}

// refusal turns a non-zero exit into an error: the helper's own words where it
// spoke, else sudo's or the shell's.
func (h helper) refusal(verb string, status int, stdout []byte, stderr string) error {
	var r rollback.Refusal
	if json.Unmarshal(stdout, &r) == nil && r.Error != "" {
		return &RefusedError{Host: h.host, Verb: verb, Status: status, Refusal: r}
	}
	text := lastLines(stderr, 3)
	if sudoHiccup(stderr) {
		return fmt.Errorf("%s: %s: %w: %s", h.host, verb, ErrSudo, text)
	}
	if text == "" {
		text = lastLines(string(stdout), 3)
	}
	return &RefusedError{Host: h.host, Verb: verb, Status: status, Refusal: rollback.Refusal{
		Error: fmt.Sprintf("helper ended with status %d: %s", status, text), Code: rollback.CodeFailed}}
}

func sudoHiccup(stderr string) bool {
	for _, words := range []string{"a password is required", "command not found", "a terminal is required", "No such file or directory"} {
		if strings.Contains(stderr, words) {
			return true
		}
	}
	return false
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "; ")
}
