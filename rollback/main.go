package rollback

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Verbs of the run's units. They are not reachable under the name that sudo
// allows.
const (
	verbSwitched     = "switched"
	verbVerify       = "verify"
	verbCommitRun    = "commit-run"
	verbCommitFailed = "commit-failed"
	verbUndo         = "undo"
	verbRevertRun    = "revert-run"
	verbReconcile    = "reconcile"
)

// maxRequest bounds the JSON request on stdin.
const maxRequest = 1 << 20

var idPattern = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// call is a checked command line.
type call struct {
	verb   string
	words  []string // take, run…
	run    string
	follow bool
	wait   bool
}

// verb is one entry of the closed list.
type verb struct {
	parse func(c *call, args []string) error
	// ofRun: executed by the run's own binary, named in the journal.
	ofRun bool
	// unit: for units of a run and the boot, never by sudo.
	unit bool
	do   func(h *helper, ctx context.Context, c *call) error
}

func verbs() map[string]verb {
	unit := func(do func(h *helper, ctx context.Context, run string) error) verb {
		return verb{parse: oneRun, ofRun: true, unit: true,
			do: func(h *helper, ctx context.Context, c *call) error { return do(h, ctx, c.run) }}
	}
	return map[string]verb{
		VerbPreflight: {parse: noArgs, do: (*helper).preflight},
		VerbLease:     {parse: leaseArgs, do: (*helper).leaseVerb},
		VerbRecord:    {parse: noArgs, do: (*helper).record},
		VerbRoot:      {parse: oneRun, do: (*helper).root},
		VerbActivate:  {parse: oneRun, ofRun: true, do: (*helper).activate},
		VerbCommit:    {parse: oneRun, ofRun: true, do: (*helper).commit},
		VerbRevert:    {parse: oneRun, ofRun: true, do: (*helper).revert},
		VerbStatus:    {parse: statusArgs, ofRun: true, do: (*helper).status},
		VerbLog:       {parse: logArgs, do: (*helper).showLog},
		VerbEnvoy:     {parse: noArgs, do: (*helper).envoy},

		verbSwitched:     unit((*helper).switched),
		verbVerify:       unit((*helper).verify),
		verbCommitRun:    unit((*helper).commitRun),
		verbCommitFailed: unit((*helper).commitFailed),
		verbUndo:         unit((*helper).undo),
		verbRevertRun:    unit((*helper).revertRun),
		verbReconcile: {parse: optionalRun, ofRun: true, unit: true,
			do: func(h *helper, ctx context.Context, c *call) error { return h.reconcileUnit(ctx, c.run) }},
	}
}

func noArgs(_ *call, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	return nil
}

func oneRun(c *call, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one run id, got %d arguments", len(args))
	}
	return setRun(c, args[0])
}

func optionalRun(c *call, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return oneRun(c, args)
}

func setRun(c *call, id string) error {
	if !idPattern.MatchString(id) {
		return fmt.Errorf("run id %q: want 1 to 64 of a-z, 0-9 and -", id)
	}
	c.run = id
	return nil
}

func leaseArgs(c *call, args []string) error {
	if len(args) == 2 && (args[0] == "take" || args[0] == "renew" || args[0] == "drop") &&
		(args[1] == leaseRun || args[1] == leaseLedger) {
		c.words = args
		return nil
	}
	return errors.New("want take|renew|drop run|ledger")
}

func statusArgs(c *call, args []string) error {
	if len(args) == 1 && args[0] == "--wait" {
		c.wait = true
		return nil
	}
	return noArgs(c, args)
}

func logArgs(c *call, args []string) error {
	if len(args) == 2 && args[1] == "--follow" {
		c.follow, args = true, args[:1]
	}
	return oneRun(c, args)
}

// Main runs one verb and returns the exit status: 0 done, 6 refused and
// nothing changed, 1 failed. A refusal is told as JSON on stdout; stderr is
// for people.
func Main(ctx context.Context, env Env, args []string) int {
	err := run(ctx, env, args)
	if err == nil {
		return 0
	}
	r, status := refusal(err)
	if b, encodeErr := json.Marshal(r); encodeErr == nil {
		fmt.Fprintf(env.Stdout, "%s\n", b)
	}
	fmt.Fprintf(env.Stderr, "nixmesh: %s\n", r.Error)
	return status
}

func run(ctx context.Context, env Env, args []string) error {
	if env.Isolate != nil {
		if err := env.Isolate(); err != nil {
			return refuse(CodeUsage, "", "%w", err)
		}
	}
	if len(args) == 0 {
		return refuse(CodeUsage, "", "no verb")
	}
	v, ok := verbs()[args[0]]
	if !ok || (v.unit && env.calledBySudo()) {
		return refuse(CodeUsage, "", "%q is not a verb of nixmesh-host", args[0])
	}
	c := &call{verb: args[0]}
	if err := v.parse(c, args[1:]); err != nil {
		return refuse(CodeUsage, "", "%s: %w", args[0], err)
	}
	h, err := newHelper(env)
	if err != nil {
		return err
	}
	if err := h.replaceUnreadable(); err != nil {
		h.note("%v", err) // the verb says so, too
	}
	if v.ofRun {
		if err := h.handOver(args, c.run); err != nil {
			return err
		}
	}
	if !v.unit {
		h.reconcileFirst(ctx)
	}
	return v.do(h, ctx, c)
}

// calledBySudo says that the caller is the deployer, who has only the verbs of
// wire.go.
func (e Env) calledBySudo() bool {
	if e.Installed {
		return true
	}
	for _, kv := range e.Environ {
		if strings.HasPrefix(kv, "SUDO_UID=") {
			return true
		}
	}
	return false
}

// variable is a variable of the environment that the process was started with.
func (e Env) variable(name string) string {
	for _, kv := range e.Environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// handOver executes the run's binary in this one's place when the journal
// names another one that is still there: a switch may replace the installed
// helper in the middle of the run. run is "" for a verb about whatever run
// there is.
func (h *helper) handOver(args []string, run string) error {
	j, err := h.journals.load()
	if errors.Is(err, errNoRun) {
		return nil
	}
	if err != nil {
		h.note("%v", err) // the verb that needs the journal says so, too
		j = &Journal{}
	}
	if j.Phase.Terminal() || (run != "" && j.Run != run) || h.othersBinary(j) == "" {
		return nil // or its toplevel is gone: the core of the journal is enough
	}
	env := h.unitVariables()
	if err := h.Exec(j.Helper, append([]string{j.Helper, "host"}, args...), env); err != nil {
		return fmt.Errorf("execute the run's binary %s: %w", j.Helper, err)
	}
	return nil
}

// unitVariables are what systemd tells ExecStopPost; nothing else of the
// environment survives.
func (h *helper) unitVariables() []string {
	env := []string{}
	for _, name := range []string{"SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS"} {
		if v := h.variable(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// request reads the JSON request on stdin into v. No input at all is the empty
// request.
func (h *helper) request(v any) error {
	b, err := io.ReadAll(io.LimitReader(h.Stdin, maxRequest+1))
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	if len(b) > maxRequest {
		return refuse(CodeUsage, "", "request is larger than %d bytes", maxRequest)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return refuse(CodeUsage, "", "request: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return refuse(CodeUsage, "", "request: more than one JSON document")
	}
	return nil
}

// answer writes the JSON answer.
func (h *helper) answer(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	if _, err := h.Stdout.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}
