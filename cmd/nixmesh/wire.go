package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/deploy"
	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/lab"
	"github.com/nixmesh/nixmesh/nix"
	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/selector"
	"github.com/nixmesh/nixmesh/spec"
)

// fleet is a valid fleet with what commands need that build for it or reach
// its hosts.
type fleet struct {
	*app
	spec *spec.Fleet
	lock *spec.Lock
	hcl  map[string][]byte // the files that were read, by path
	lab  *lab.Lab          // nil outside the lab
	op   *lab.Operator     // of the lab, nil outside
	tool *nix.Tool

	warnings spec.Diagnostics // of the spec, for commands that build
}

// openFleet loads the fleet for a command that reaches hosts: diagnostics go to
// stderr and errors end the command, with exit 3.
func (a *app) openFleet() (*fleet, error) { return a.openFleetFor(spec.Options{}) }

// openFleetFor is openFleet with further options.
func (a *app) openFleetFor(options spec.Options) (*fleet, error) {
	vars, err := a.variables()
	if err != nil {
		return nil, err
	}
	f := &fleet{app: a, tool: &nix.Tool{}}
	options.Lab, options.Vars, options.Version = a.lab, vars, version
	if a.lab {
		// Without a fleet's folder, Load is what explains.
		if _, err := spec.FindDir(a.dir); err == nil {
			if err := f.useLab(&options); err != nil {
				return nil, err
			}
		}
	}
	l := spec.Load(a.dir, options)
	found := l.Diagnostics
	if !found.HasErrors() {
		var bad spec.Diagnostics
		f.lock, bad = spec.ReadLock(l.Dir)
		found = append(found, bad...)
	}
	if found.HasErrors() {
		a.printDiagnostics(found, withLock(l))
		return nil, diagnosticsExit(found)
	}
	f.spec, f.hcl, f.warnings = l.Fleet, l.Files, found
	return f, nil
}

// useLab puts the lab's operator, host keys and nix in place of the spec's.
func (f *fleet) useLab(o *spec.Options) error {
	l, err := f.openLab(lab.Options{})
	if err != nil {
		return err
	}
	op, err := l.Operator()
	if err != nil {
		return labFailure(err)
	}
	keys, err := l.HostKeys()
	if err != nil {
		return err
	}
	o.LabOperator = &spec.Operator{Name: "lab", SSH: []string{op.SSH}, Sign: []string{op.SSH}, NixKey: op.Nix}
	o.LabHostKeys = keys
	f.lab, f.op, f.tool.Wrap = l, &op, l.Nix()
	f.tool.Options = []string{"--offline"}
	if f.getenv("NIXMESH_NIXPKGS") != "" {
		f.tool.Options = nil
	}
	return nil
}

// state is a path below the fleet's .nixmesh, where nothing is worth keeping.
func (f *fleet) state(elem ...string) string {
	return filepath.Join(append([]string{f.spec.Dir, ".nixmesh"}, elem...)...)
}

// pick resolves a selector, "" being all hosts.
func (f *fleet) pick(on string) ([]string, error) {
	if on == "" {
		on = "*"
	}
	s, err := selector.Parse(on)
	if err != nil {
		return nil, usageErrorf("%w", err)
	}
	all := make([]selector.Host, 0, len(f.spec.Hosts))
	for _, h := range f.spec.Hosts {
		all = append(all, selector.Host{Name: h.Name, Tags: h.Tags})
	}
	names, err := s.Select(all)
	if err != nil {
		return nil, usageErrorf("%w", err)
	}
	return names, nil
}

// pickArgs resolves hosts named as arguments, else those of --on.
func (f *fleet) pickArgs(args []string) ([]string, error) {
	if len(args) == 0 {
		return f.pick(f.on)
	}
	if f.selected {
		return nil, usageErrorf("hosts are named twice: %s, and --on %s", strings.Join(args, " "), f.on)
	}
	var names []string
	for _, a := range args {
		more, err := f.pick(a)
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// target says where a host is, with its pinned key.
func (f *fleet) target(name string) (remote.Target, error) {
	i := slices.IndexFunc(f.spec.Hosts, func(h *spec.Host) bool { return h.Name == name })
	if i < 0 {
		return remote.Target{}, fmt.Errorf("the fleet has no host %q", name)
	}
	h := f.spec.Hosts[i]
	t := remote.Target{Name: name, Address: h.Address, Port: h.SSH.Port, User: h.SSH.User, HostKey: h.HostKey, Jump: h.SSH.Jump, NoConfig: f.lab != nil}
	if t.HostKey == "" && f.lab == nil {
		t.HostKey = f.lock.HostKey(name)
	}
	switch {
	case f.op != nil:
		t.KeyFiles = []string{f.op.SSHKeyFile}
	case f.getenv("NIXMESH_SSH_KEY") != "":
		t.KeyFiles = []string{f.getenv("NIXMESH_SSH_KEY")}
	case h.SSH.Key != "":
		t.KeyFiles = []string{h.SSH.Key}
	}
	return t, nil
}

// deployer connects the parts: keys, store, connections, events.
func (f *fleet) deployer(ctx context.Context, events deploy.Sink) (*deploy.Deployer, error) {
	shim := f.state("ssh")
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
	}
	if err := nix.WriteShim(shim, self); err != nil {
		return nil, err
	}
	f.tool.ShimDir = shim
	keys := &operatorKeys{fleet: f}
	d := &deploy.Deployer{
		Fleet:  f.spec,
		Store:  &localStore{tool: f.tool, keys: keys, wrap: f.tool.Wrap},
		Dial:   f.dial,
		Target: f.target,
		Verify: keys.verify, Sign: keys.sign, SignNix: keys.signNix, SignMesh: keys.signFor,
		Local:  f.localLedger(),
		Events: events, Operator: keys.name(ctx), Holder: keys.name(ctx) + "@" + hostname(), Version: version,
		FirstUser: "root", FirstAny: f.lab != nil, Now: f.now,
	}
	return d, nil
}

// localLedger is the copy of the releases on this machine. The lab has none:
// its hosts are new after each `lab up`, and their numbers begin anew.
func (f *fleet) localLedger() deploy.LocalLedger {
	if f.lab != nil {
		return deploy.LocalLedger{}
	}
	return deploy.LocalLedger{Dir: f.state("releases")}
}

func (f *fleet) dial(ctx context.Context, t remote.Target) (remote.Host, error) {
	o := remote.Options{}
	if f.lab != nil {
		o.AgentSocket = "none"
	}
	return remote.Dial(ctx, t, o)
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// loginName is the person at the keyboard, for messages only.
func loginName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "somebody"
}

// specHash is the content of all HCL files that were read.
func (f *fleet) specHash() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(f.hcl)) {
		fmt.Fprintf(h, "%d %s %d\n", len(name), name, len(f.hcl[name]))
		h.Write(f.hcl[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// style is what a stream can show.
func (a *app) style(w io.Writer) term.Style { return term.Detect(w, a.getenv) }

// exit turns the end of an operation into the command's; its message was
// printed.
func exit(code deploy.Exit) error {
	if code == deploy.ExitDone {
		return nil
	}
	return &exitError{code: int(code)}
}

// failed turns an error of an operation into the command's: exit code, message,
// and what to do next as the last line.
func failed(err error) error {
	if err == nil {
		return nil
	}
	var own *exitError
	if errors.As(err, &own) {
		return err
	}
	if next := deploy.ExplainNext(err); next != "" {
		err = fmt.Errorf("%w\nNext: %s", err, next)
	}
	return &exitError{code: int(deploy.ExitOf(err)), err: err}
}
