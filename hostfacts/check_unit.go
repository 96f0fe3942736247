package hostfacts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// CheckSockets is the folder of the sockets of exec checks: whoever connects to
// the one of a check has systemd run it once, as the service's user and in its
// sandbox, and reads one Result.
const CheckSockets = "/run/nixmesh/checks"

// ExecVerb is what the unit of an exec check runs, after "host" and before the
// check's name: for it the program has to call ExecMain.
const ExecVerb = "check-exec"

// CheckUnit is the name of a check's socket and units, without their kind. Names
// of checks have two characters that a unit's name gives another meaning.
func CheckUnit(name string) string {
	return CheckUnitPrefix + strings.NewReplacer("#", ":", "@", ".").Replace(name)
}

// maxResult bounds what is read of a Result, in bytes.
const maxResult = 4096

// runSocket has systemd run a check, by its socket.
func runSocket(ctx context.Context, c Check, r Runner) (ok bool, answer string) {
	name := lastElement(c.Exec[0])
	conn, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(r.CheckSockets, c.Name))
	if err != nil {
		return false, fmt.Sprintf("%s: ask its unit: %s", name, reason(ctx, c, err))
	}
	defer conn.Close()
	// The unit ends by itself at the check's deadline, and says so.
	stop := context.AfterFunc(ctx, func() {
		late := time.Now()
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			late = late.Add(childGrace)
		}
		_ = conn.SetReadDeadline(late) // fails on a closed connection only
	})
	defer stop()
	// Until the end: systemd takes the next connection once this unit is gone.
	b, err := io.ReadAll(io.LimitReader(conn, maxResult))
	var result Result
	switch {
	case json.Unmarshal(b, &result) == nil:
		return result.OK, oneLine([]byte(result.Answer), 2*snippetSize)
	case ctx.Err() != nil:
		return false, fmt.Sprintf("%s: %s", name, reason(ctx, c, err))
	case err != nil:
		return false, fmt.Sprintf("%s: read the answer of its unit: %s", name, reason(ctx, c, err))
	default:
		return false, fmt.Sprintf("%s: %s@.service gave no answer; its journal says why", name, CheckUnit(c.Name))
	}
}

// ExecMain is the unit's side of an exec check: it looks up the check in the
// host's facts, runs its command with this process's own environment, and
// writes the result to who asked, the connection that is stdout. The exit status
// is 0 also for a check that fails.
func ExecMain(ctx context.Context, facts, name string, stdout *os.File) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var answers io.Writer = stdout
	if conn, err := net.FileConn(stdout); err == nil { // a copy; by hand it is a terminal
		answers = conn
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_, _ = conn.Read(make([]byte, 1)) // it says nothing, so this is its end
			cancel(errAskerGone)
		}()
		defer func() { _ = conn.Close(); <-gone }()
	}
	result := execOnce(ctx, facts, name)
	if errors.Is(context.Cause(ctx), errAskerGone) {
		return 0
	}
	if err := json.NewEncoder(answers).Encode(result); err != nil {
		fmt.Fprintln(os.Stderr, "write result:", err)
		return 1
	}
	return 0
}

// errAskerGone ends a command whose result nobody waits for: an agent that has
// started anew asks again.
var errAskerGone = errors.New("who asked has gone")

func execOnce(ctx context.Context, facts, name string) Result {
	f, err := Load(facts)
	if err != nil {
		return Result{Answer: err.Error()}
	}
	for _, c := range f.Checks {
		if c.Name == name && c.Kind == CheckExec {
			return RunCheck(ctx, c, Runner{Here: true})
		}
	}
	return Result{Answer: fmt.Sprintf("%s has no exec check %q", facts, name)}
}

// runHere runs an exec check as a child of this process, which has the
// service's user, sandbox and environment already.
func runHere(ctx context.Context, c Check) (ok bool, answer string) {
	env := map[string]string{}
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	argv, err := expand(c.Exec, env, false)
	if err != nil {
		return false, err.Error()
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	// What it started may hold its output open; systemd ends that with the unit.
	cmd.WaitDelay = outputGrace
	var output tail
	cmd.Stdout, cmd.Stderr = &output, &output
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well
	}
	return execAnswer(ctx, c, lastElement(argv[0]), err, &output)
}

// outputGrace is how long the end of an output may be late after the end of
// its program.
const outputGrace = 100 * time.Millisecond
