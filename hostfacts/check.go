package hostfacts

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// Result is the end of one check, run once.
type Result struct {
	OK     bool          `json:"ok"`
	Answer string        `json:"answer"` // what came back, one line: "GET /healthz 503: warming up"
	Took   time.Duration `json:"took"`   // nanoseconds
}

// Runner says how checks run as their service's user.
type Runner struct {
	// Exe is nixmesh's own executable: network checks run in a child of it
	// with the service's uid. Empty: in this process, for one that is already
	// the right user.
	Exe string

	// SystemdRun starts exec checks; empty is "systemd-run" from PATH.
	SystemdRun string

	// CheckSockets is the folder of the sockets of exec checks, for one that may
	// connect to them: systemd runs the checks then, and SystemdRun is not used.
	CheckSockets string

	// Here says that this process is what an exec check has to run in: its
	// command is started as a child.
	Here bool
}

// RunCheck runs a check once, as its service's user. It ends by the check's
// timeout or ctx, whichever is first; both are a failed result, never an
// error: whoever verifies wants the last answer.
func RunCheck(ctx context.Context, c Check, r Runner) Result {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout.D())
	defer cancel()
	begun := time.Now()
	var ok bool
	var answer string
	switch {
	case c.Kind == CheckExec && r.Here:
		ok, answer = runHere(ctx, c)
	case c.Kind == CheckExec && r.CheckSockets != "":
		ok, answer = runSocket(ctx, c, r)
	case c.Kind == CheckExec:
		ok, answer = runExec(ctx, c, r)
	case r.Exe != "":
		ok, answer = runChild(ctx, c, r)
	default:
		ok, answer = probe(ctx, c)
	}
	return Result{OK: ok, Answer: answer, Took: time.Since(begun)}
}

// RunAs is RunCheck with network checks in a child of exe, for one who keeps
// time himself.
func RunAs(ctx context.Context, exe string, c Check) (ok bool, answer string) {
	r := RunCheck(ctx, c, Runner{Exe: exe})
	return r.OK, r.Answer
}

// probe runs a network check in this process.
func probe(ctx context.Context, c Check) (ok bool, answer string) {
	switch c.Kind {
	case CheckHTTP:
		return probeHTTP(ctx, c)
	case CheckTCP:
		return probeTCP(ctx, c)
	case CheckGRPC:
		return probeGRPC(ctx, c)
	}
	return false, fmt.Sprintf("kind %q is no network check", c.Kind)
}

// snippetSize bounds what an answer quotes of a body or an output, in bytes.
const snippetSize = 200

// snippet is the beginning of a text as one printable line.
func snippet(b []byte) string { return oneLine(b, snippetSize) }

// oneLine is the same of this many bytes at most.
func oneLine(b []byte, size int) string {
	cut := len(b) > size
	if cut {
		b = b[:size]
		for len(b) > 0 && !utf8.Valid(b) && len(b) > size-utf8.UTFMax {
			b = b[:len(b)-1]
		}
	}
	s := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, string(b))
	s = strings.Join(strings.Fields(s), " ")
	if cut {
		s += "…"
	}
	return s
}

// reason is why a check failed, in the words a person needs: the deadline
// that passed or the system's own word, not the chain of calls.
func reason(ctx context.Context, c Check, err error) string {
	if cause := context.Cause(ctx); errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %s", c.Timeout.D())
	} else if cause != nil {
		return cause.Error()
	}
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return errno.Error()
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}
