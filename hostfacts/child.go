package hostfacts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ChildVerb is what a Runner starts nixmesh's executable with, after "host": for
// it the program has to call ChildMain. It is no verb of the helper's closed
// list, and whoever calls it gets no rights by it.
const ChildVerb = "check-child"

// maxCheckSize bounds a check on a child's stdin and its result, in bytes.
const maxCheckSize = 64 << 10

// childGrace is how long a child may outlive its check's deadline before it
// is killed: it reports the deadline itself.
const childGrace = time.Second

// runChild runs a network check in a child that has the check's user and no
// other rights, since root is refused by the guards of a mesh and would see
// more than the service's callers do.
func runChild(ctx context.Context, c Check, r Runner) (ok bool, answer string) {
	credential, err := credentialOf(c)
	if err != nil {
		return false, err.Error()
	}
	request, err := json.Marshal(c)
	if err != nil {
		return false, fmt.Sprintf("encode check: %s", err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, r.Exe, "host", ChildVerb)
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(request)
	cmd.Stdout = &stdout
	cmd.Stderr = &stderr
	// The child ends by itself at the check's deadline, and says so.
	cmd.Cancel = func() error { return nil }
	cmd.WaitDelay = childGrace
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	err = cmd.Run()
	var result Result
	if json.Unmarshal(stdout.Bytes(), &result) == nil {
		return result.OK, result.Answer
	}
	if ctx.Err() != nil {
		return false, reason(ctx, c, err)
	}
	return false, strings.TrimSpace(fmt.Sprintf("run check as %s: %v %s", c.User, err, snippet(stderr.Bytes())))
}

// ChildMain is the child's side of a network check: one check on stdin, its result on
// stdout, exit status 0 also for a check that fails.
func ChildMain(stdin io.Reader, stdout io.Writer) int {
	var c Check
	if err := json.NewDecoder(io.LimitReader(stdin, maxCheckSize)).Decode(&c); err != nil {
		fmt.Fprintln(os.Stderr, "read check:", err)
		return 1
	}
	if c.Kind == CheckExec {
		fmt.Fprintln(os.Stderr, "an exec check has no child")
		return 1
	}
	if err := json.NewEncoder(stdout).Encode(RunCheck(context.Background(), c, Runner{})); err != nil {
		fmt.Fprintln(os.Stderr, "write result:", err)
		return 1
	}
	return 0
}

// remaining is how long the check may take from now.
func remaining(ctx context.Context, c Check) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(time.Until(deadline), c.Timeout.D())
	}
	return c.Timeout.D()
}

// credentialOf is the uid and gid of the check's user on this host; the facts'
// uid serves where the user is in no passwd file.
func credentialOf(c Check) (*syscall.Credential, error) {
	var uid, gid string
	switch u, err := user.Lookup(c.User); {
	case err == nil:
		uid, gid = u.Uid, u.Gid
	case c.UID > 0:
		uid = strconv.Itoa(c.UID)
		gid = uid
	default:
		return nil, fmt.Errorf("find user %s of the check: %w", c.User, err)
	}
	u, err := strconv.ParseUint(uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read uid of %s: %w", c.User, err)
	}
	g, err := strconv.ParseUint(gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read gid of %s: %w", c.User, err)
	}
	return &syscall.Credential{Uid: uint32(u), Gid: uint32(g), NoSetGroups: os.Geteuid() != 0}, nil
}
