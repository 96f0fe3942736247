package rollback

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// Times for a host whose host.json names none.
const (
	defaultActivateTimeout = hostfacts.Duration(10 * time.Minute)
	defaultConfirm         = hostfacts.Duration(90 * time.Second)
	defaultSettle          = hostfacts.Duration(3 * time.Second)
)

var toplevelPattern = regexp.MustCompile(`^/nix/store/[0-9abcdfghijklmnpqrsvwxyz]{32}-nixos-system-([a-z0-9-]+?)-[0-9a-zA-Z+._-]+$`)

// root opens a run: NEW is this host's and a deployer's, and stays on the disk
// whatever is collected; the journal says rooted.
func (h *helper) root(ctx context.Context, c *call) error {
	var req RootRequest
	if err := h.request(&req); err != nil {
		return err
	}
	if err := req.check(); err != nil {
		return err
	}
	if err := h.holdsLease(c.run); err != nil {
		return err
	}
	j, err := h.openRun(ctx, c.run, req)
	if err != nil {
		return err
	}
	if err := h.journals.create(j, func(now *Journal) error { return h.mayOpen(now, c.run, req) }); err != nil {
		return err
	}
	return h.answerStatus(ctx, StatusRequest{})
}

// openRun checks the request and makes the roots; the journal is not yet
// written.
func (h *helper) openRun(ctx context.Context, run string, req RootRequest) (*Journal, error) {
	before, err := h.journals.load()
	if err != nil && !errors.Is(err, errNoRun) {
		return nil, err
	}
	if err := h.mayOpen(before, run, req); err != nil {
		return nil, err
	}
	if err := h.removeOrphans(run); err != nil {
		return nil, err
	}
	old := h.current()
	profile, generation := h.profile()
	if err := h.sameAsPlanned(req, old, profile); err != nil {
		return nil, err
	}
	next, err := h.checkToplevel(req)
	if err != nil {
		return nil, err
	}
	keysOf := old
	if req.First {
		keysOf = req.New
	}
	keys, err := h.deployers(keysOf)
	if err != nil {
		return nil, err
	}
	if err := h.checkSignature(ctx, req.New, keys, req.Signatures); err != nil {
		return nil, err
	}
	if err := h.deployersAfter(req); err != nil {
		return nil, err
	}
	j := &Journal{Schema: JournalSchema, Run: run, Release: req.Release, ReleaseHash: req.ReleaseHash, Test: req.Test,
		Old: old, New: req.New, OldProfile: profile, Generation: generation, Accept: req.Accept,
		Helper: h.runsBinary(old, next), LastResort: next.Rollout.LastResort}
	j.ActivateTimeout = firstOf(req.ActivateTimeout, next.Rollout.ActivateTimeout, defaultActivateTimeout)
	j.Confirm = firstOf(req.Confirm, next.Rollout.Confirm, defaultConfirm)
	j.Settle = firstOf(req.Settle, next.Rollout.Settle, defaultSettle)
	return j, h.makeRunRoots(ctx, j)
}

func firstOf(values ...hostfacts.Duration) hostfacts.Duration {
	for _, v := range values {
		if v > 0 {
			return v
		}
	}
	return 0
}

// mayOpen is the table "Taking over a stale lease" for another run, under the
// journal's lock the second time.
func (h *helper) mayOpen(now *Journal, run string, req RootRequest) error {
	if now == nil {
		return nil
	}
	if err := h.underWay(now, run); err != nil {
		return err
	}
	if now.Run == run && now.Phase != PhaseRooted {
		return refuse(CodePhase, "read the host's status", "run %s is %s already", run, now.Phase)
	}
	if now.Phase == PhaseNeedsOperator && !slices.Contains(req.Accept, acceptRepair) {
		return refuse(CodeOperator, "look at the host, then deploy --repair", "run %s ended in %s: %s", now.Run, now.Phase, now.Reason)
	}
	return nil
}

// sameAsPlanned refuses a host that does not run what the plan was made for.
func (h *helper) sameAsPlanned(req RootRequest, current, profile string) error {
	if slices.Contains(req.Accept, acceptDrift) {
		return nil
	}
	const next = "plan again, or deploy with --accept " + acceptDrift
	if req.Expect != "" && req.Expect != current {
		return refuse(CodeDrift, next, "the host runs %s, the plan was made for %s", current, req.Expect)
	}
	if req.Profile != "" && req.Profile != profile {
		return refuse(CodeDrift, next, "the system profile is %s, the plan was made for %s", profile, req.Profile)
	}
	return nil
}

// checkToplevel demands that NEW is this host's: by its name and by its facts.
func (h *helper) checkToplevel(req RootRequest) (*hostfacts.Facts, error) {
	m := toplevelPattern.FindStringSubmatch(req.New)
	if m == nil {
		return nil, refuse(CodeWrongHost, "", "%q is no toplevel: want /nix/store/HASH-nixos-system-HOST-VERSION", req.New)
	}
	next, err := h.facts(req.New)
	if err != nil {
		return nil, refuse(CodeWrongHost, "", "%s: %w", req.New, err)
	}
	now, err := h.facts(h.current())
	switch {
	case req.First && err == nil:
		return nil, refuse(CodeUsage, "deploy without --first", "this host is %s of fleet %s already", now.Host, now.Fleet)
	case errors.Is(err, fs.ErrNotExist) && !req.First:
		return nil, refuse(CodeUsage, "deploy --first", "this host has no %s: nixmesh has never deployed it", hostfacts.Path)
	case err != nil && !req.First:
		return nil, err
	case req.First:
		now = next
	}
	if !h.nameOfHost(req.New, now.Host) || next.Host != now.Host || next.Fleet != now.Fleet {
		return nil, refuse(CodeWrongHost, "compare the addresses of the two hosts in the HCL",
			"this host is %s of fleet %s; the toplevel is of %s of fleet %s", now.Host, now.Fleet, next.Host, next.Fleet)
	}
	return next, nil
}

// nameOfHost says whether a toplevel's name is nixos-system-HOST-…; a host's
// name may have dashes of its own.
func (h *helper) nameOfHost(toplevel, host string) bool {
	const hashAndDash = len("/nix/store/") + 32 + 1
	if len(toplevel) <= hashAndDash {
		return false
	}
	prefix := "nixos-system-" + host + "-"
	name := toplevel[hashAndDash:]
	return len(name) > len(prefix) && name[:len(prefix)] == prefix
}

// runsBinary is the executable of the whole run: NEW's, or OLD's where NEW has
// none or speaks an older protocol (a rollback), or this one.
func (h *helper) runsBinary(old string, next *hostfacts.Facts) string {
	was, err := h.facts(old)
	hasOld := err == nil && h.executable(was.Nixmesh.Binary)
	if h.executable(next.Nixmesh.Binary) && (!hasOld || next.Nixmesh.Protocol >= was.Nixmesh.Protocol) {
		return next.Nixmesh.Binary
	}
	if hasOld {
		return was.Nixmesh.Binary
	}
	return h.Executable
}

func (h *helper) executable(name string) bool {
	if name == "" {
		return false
	}
	st, err := h.Files.Stat(name)
	return err == nil && st.Executable && !st.Dir
}

// makeRunRoots keeps NEW, OLD and the run's binary from garbage collection.
// nix-store makes the root and then demands that the path is valid, so a
// collection that is under way cannot slip between the two.
func (h *helper) makeRunRoots(ctx context.Context, j *Journal) error {
	dir := runRoots(j.Run)
	if err := h.Files.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make roots: %w", err)
	}
	roots := map[string]string{"new": j.New, "old": j.Old}
	if p := storePath(j.Helper); p != "" {
		roots["helper"] = p
	}
	if j.OldProfile != "" && j.OldProfile != j.Old {
		roots["profile"] = j.OldProfile
	}
	for _, name := range []string{"new", "old", "helper", "profile"} {
		if roots[name] == "" {
			continue
		}
		if _, err := h.runTool(ctx, nil, "nix-store", "--realise", roots[name], "--add-root", dir+"/"+name); err != nil {
			return fmt.Errorf("root %s: %w", roots[name], err)
		}
	}
	for _, d := range []string{dir, gcrootsDir} {
		if err := h.Files.Sync(d); err != nil {
			return fmt.Errorf("sync roots: %w", err)
		}
	}
	return nil
}
