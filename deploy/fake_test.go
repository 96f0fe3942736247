package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/rollback"
	"github.com/nixmesh/nixmesh/spec"
)

// fakeHost is one scripted machine: the host half's state machine in a few
// lines, with hooks for everything that can go wrong.
type fakeHost struct {
	name string

	mu       sync.Mutex // guards what follows
	fleet    string
	boot     string
	current  string
	profile  string
	gen      int
	lease    map[string]*rollback.Lease
	journal  *rollback.JournalView
	request  rollback.RootRequest
	records  []rollback.Record
	calls    []string // verbs in order
	bridges  []string // what bridges started
	lines    []string // other commands
	dials    int
	down     bool           // refuses connections
	downFor  int            // refuses that many dials
	epoch    int            // connections of an older epoch are lost
	answers  map[string]int // verb -> calls so far
	bad      *rollback.Verdict
	activate func(h *fakeHost) // runs at activate, locked
	onCall   func(h *fakeHost, verb string, n int) (status int, stdout, stderr string, err error, handled bool)
	dialErr  error
	noHelper bool // plain NixOS
	stuck    bool // phases do not move
	envoy    *rollback.EnvoyState
	file     string // what cat prints of any
}

func newFakeHost(name, top string) *fakeHost {
	return &fakeHost{name: name, fleet: "shop", boot: "boot-" + name, current: top, profile: top, gen: 7,
		lease: map[string]*rollback.Lease{}, answers: map[string]int{}}
}

type fakeConn struct {
	h     *fakeHost
	epoch int
	user  string
}

var errCut = errors.New("connection reset")

func (h *fakeHost) dial(_ context.Context, t remote.Target) (remote.Host, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dials++
	if h.dialErr != nil {
		return nil, h.dialErr
	}
	if h.down || h.downFor > 0 {
		h.downFor--
		return nil, &remote.DialError{Host: h.name, Address: t.Address, Stage: "connect", What: "connection refused"}
	}
	if h.noHelper && t.User == "deploy" {
		return nil, &remote.AuthError{Host: h.name, Address: t.Address, User: t.User, Offered: []string{"key"}}
	}
	return &fakeConn{h: h, epoch: h.epoch, user: t.User}, nil
}

func (c *fakeConn) Close() error { return nil }

func (c *fakeConn) Bridge(_ context.Context, line string) (string, error) {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.h.bridges = append(c.h.bridges, line)
	return "/run/bridge", nil
}

func (c *fakeConn) Run(ctx context.Context, cmd remote.Command) (int, error) {
	var in []byte
	if cmd.Stdin != nil {
		in, _ = io.ReadAll(cmd.Stdin)
	}
	status, stdout, stderr, err := c.h.run(c, cmd.Line, in)
	if err == nil && cmd.Stdout != nil {
		io.WriteString(cmd.Stdout, stdout)
	}
	if err == nil && cmd.Stderr != nil {
		io.WriteString(cmd.Stderr, stderr)
	}
	return status, err
}

func (h *fakeHost) run(c *fakeConn, line string, in []byte) (int, string, string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down || c.epoch != h.epoch {
		return -1, "", "", errCut
	}
	i := strings.Index(line, "nixmesh-host ")
	if i < 0 {
		return h.plain(line)
	}
	words := strings.Fields(line[i:])[1:]
	verb := words[0]
	h.answers[verb]++
	h.calls = append(h.calls, strings.Join(words, " "))
	if h.onCall != nil {
		if status, out, errs, err, ok := h.onCall(h, verb, h.answers[verb]); ok {
			return status, out, errs, err
		}
	}
	answer, refusal := h.verb(verb, words[1:], in)
	if refusal != nil {
		b, _ := json.Marshal(refusal)
		return 6, string(b), "", nil
	}
	b, _ := json.Marshal(answer)
	return 0, string(b), "", nil
}

func (h *fakeHost) plain(line string) (int, string, string, error) {
	h.lines = append(h.lines, line)
	switch {
	case line == "sh", line == "sudo -n sh":
		return 0, fmt.Sprintf("nixos yes\nhostname nixos\nboot_id %s\ncurrent %s\nprofile %s\ngeneration 1\nversion 26.05\nuser root 0\n", h.boot, h.current, h.profile), "", nil
	case strings.Contains(line, "cat ") && h.file != "":
		return 0, h.file, "", nil
	case strings.Contains(line, "path-info --json"):
		path := line[strings.Index(line, "/nix/store"):]
		path = strings.Trim(path, `'"\`)
		return 0, fmt.Sprintf(`[{"path":%q,"narHash":"sha256-x","narSize":12,"references":[]}]`, path), "", nil
	}
	return 0, "", "", nil
}

func refuse(code, format string, args ...any) *rollback.Refusal {
	return &rollback.Refusal{Error: fmt.Sprintf(format, args...), Code: code}
}

func (h *fakeHost) verb(verb string, args []string, in []byte) (any, *rollback.Refusal) {
	switch verb {
	case rollback.VerbPreflight:
		return rollback.Preflight{Protocol: 1, Version: "0.1.0", Hostname: h.name, Fleet: h.fleet, Host: h.name, System: "x86_64-linux",
			BootID: h.boot, Current: h.current, Profile: h.profile, ProfileGeneration: h.gen, Journal: h.journal}, nil
	case rollback.VerbLease:
		var r rollback.LeaseRequest
		json.Unmarshal(in, &r)
		what := args[1]
		held := h.lease[what]
		switch args[0] {
		case "take":
			if held != nil && held.Run != r.Run {
				return nil, refuse(rollback.CodeLeaseHeld, "%s deploys here (%s), renewed %.0f s ago", held.Holder, held.Reason, held.Age)
			}
			h.lease[what] = &rollback.Lease{Run: r.Run, Holder: r.Holder, Reason: r.Reason}
		case "drop":
			delete(h.lease, what)
		}
		return rollback.LeaseAnswer{Lease: h.lease[what], Records: h.records}, nil
	case rollback.VerbRecord:
		var r rollback.RecordRequest
		json.Unmarshal(in, &r)
		h.records = append(h.records, r.Record)
		return rollback.RecordAnswer{}, nil
	case rollback.VerbRoot:
		json.Unmarshal(in, &h.request)
		if h.lease["run"] == nil || h.lease["run"].Run != args[0] {
			return nil, refuse(rollback.CodeNoLease, "no lease for %s", args[0])
		}
		if h.request.Expect != h.current {
			return nil, refuse(rollback.CodeDrift, "it runs %s", h.current)
		}
		h.journal = &rollback.JournalView{Run: args[0], Release: h.request.Release, Phase: rollback.PhaseRooted, Old: h.current, New: h.request.New}
	case rollback.VerbActivate:
		h.journal.Phase = rollback.PhaseArmed
		if h.activate != nil {
			h.activate(h)
		}
	case rollback.VerbCommit:
		h.journal.Phase = rollback.PhaseCommitting
	case rollback.VerbRevert:
		switch h.journal.Phase {
		case rollback.PhaseRooted:
			h.end(rollback.PhaseFailed)
		case rollback.PhaseCommitted:
			return nil, refuse(rollback.CodePhase, "too late to revert")
		default:
			h.journal.Phase = rollback.PhaseRollingBack
		}
	case rollback.VerbStatus:
		h.step()
	case rollback.VerbEnvoy:
		a := rollback.EnvoyAnswer{Was: h.envoy, Took: 0.4}
		if strings.Contains(string(in), `"check":true`) {
			return a, nil
		}
		h.envoy = &rollback.EnvoyState{Version: h.envoy.Wanted, Wanted: h.envoy.Wanted}
		a.Runs = h.envoy
		return a, nil
	}
	return h.status(), nil
}

// step moves the journal by one phase at each status call.
func (h *fakeHost) step() {
	j := h.journal
	if j == nil || h.stuck {
		return
	}
	switch j.Phase {
	case rollback.PhaseArmed:
		j.Phase = rollback.PhaseActivating
	case rollback.PhaseActivating:
		h.current = j.New
		j.Phase = rollback.PhaseVerifying
		j.Progress = &rollback.VerifyState{Passed: 1, Total: 3}
	case rollback.PhaseVerifying:
		if h.bad != nil {
			j.Verdict, j.Phase = h.bad, rollback.PhaseRollingBack
		} else {
			j.Verdict = &rollback.Verdict{Good: true, Passed: 3, Total: 3}
		}
	case rollback.PhaseCommitting:
		h.profile = j.New
		h.gen++
		h.noHelper = false
		h.end(rollback.PhaseCommitted)
	case rollback.PhaseRollingBack:
		h.current = j.Old
		h.end(rollback.PhaseRolledBack)
	}
}

func (h *fakeHost) end(p rollback.Phase) {
	h.journal.Phase, h.journal.Generation = p, h.gen
	for i := range h.records {
		if h.records[i].Hash == h.request.ReleaseHash {
			h.records[i].Outcome, _ = json.Marshal(Outcome{Release: h.request.ReleaseHash, Run: h.journal.Run, End: string(p), Generation: h.gen})
		}
	}
}

func (h *fakeHost) status() rollback.StatusAnswer {
	s := rollback.StatusAnswer{Protocol: 1, Host: h.name, Fleet: h.fleet, BootID: h.boot, Current: h.current, Profile: h.profile, Gen: h.gen,
		State: "running", Load: "0.12 0.20 0.31", MemUsed: 0.18, Records: h.records,
		Units: []rollback.UnitState{{Name: "web.service", Service: "web", Active: "active", Sub: "running"}}}
	if h.journal != nil {
		j := *h.journal
		s.Journal = &j
	}
	if h.envoy != nil {
		e := *h.envoy
		s.Envoy = &e
	}
	return s
}

// fakeStore builds nothing and copies nothing.
type fakeStore struct {
	files   map[string]string  // toplevel -> its host.json
	copyErr map[string][]error // host -> errors of its copies, in turn
	mu      sync.Mutex         // guards copyErr
}

func (s *fakeStore) Shell(_ context.Context, line string) ([]byte, error) {
	for top, text := range s.files {
		if strings.Contains(line, top+hostfacts.Path) {
			return []byte(text), nil
		}
	}
	return nil, nil
}

func (*fakeStore) SignClosure(_ context.Context, top string) ([]string, error) {
	return []string{"anna-1:" + top}, nil
}

func (s *fakeStore) Copy(_ context.Context, r CopyRequest, progress func(done, total int64)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errs := s.copyErr[r.Host]; len(errs) > 0 {
		s.copyErr[r.Host] = errs[1:]
		return errs[0]
	}
	progress(5, 10)
	return nil
}

// world is a fleet of fake hosts and a deployer for it.
type world struct {
	*Deployer
	hosts  map[string]*fakeHost
	events *Recorder
	store  *fakeStore
}

const testTop = "/nix/store/00000000000000000000000000000000-nixos-system-"

func top(host string, n int) string { return fmt.Sprintf("%s%s-%d", testTop, host, n) }

// newWorld makes hosts app1 app2 db1 db2 edge1, which run top(host, 1).
func newWorld() *world {
	w := &world{hosts: map[string]*fakeHost{}, events: &Recorder{}, store: &fakeStore{}}
	f := &spec.Fleet{Name: "shop", KeepReleases: 5, Rollout: spec.Rollout{
		Order: [][]string{{"db1", "db2"}, {"app2"}, {"app1", "app2"}, {"edge1"}}, OrderText: []string{"@db", "@canary", "@app", "@edge"},
		Parallel: 2, Confirm: time.Second, Settle: time.Second, ActivateTimeout: time.Second, OnFail: "stop"}}
	for i, n := range []string{"app1", "app2", "db1", "db2", "edge1"} {
		f.Hosts = append(f.Hosts, &spec.Host{Name: n, Address: fmt.Sprintf("10.0.0.%d", i+1), System: "x86_64-linux", Place: spec.Place{File: "nixmesh.hcl", Line: 10 + i}})
		w.hosts[n] = newFakeHost(n, top(n, 1))
	}
	w.Deployer = &Deployer{Fleet: f, Store: w.store, Events: w.events, Operator: "anna", Holder: "anna@laptop", Version: "0.1.0",
		Dial: func(ctx context.Context, t remote.Target) (remote.Host, error) { return w.hosts[t.Name].dial(ctx, t) },
		Target: func(h string) (remote.Target, error) {
			return remote.Target{Name: h, Address: w.host(h).Address, User: "deploy", HostKey: "k"}, nil
		},
		Sign:    func(_ context.Context, body []byte) (string, error) { return "sig", nil },
		SignNix: func(i PathInfo) (string, error) { return "anna-1:" + i.Path, nil },
		Times:   Times{Renew: 20 * time.Millisecond, Poll: 10 * time.Millisecond, Grace: 300 * time.Millisecond, Prove: 5 * time.Millisecond, LockPoll: 5 * time.Millisecond},
	}
	return w
}

// want is generation n of every host, or of those named.
func (w *world) want(n int, hosts ...string) Toplevels {
	if len(hosts) == 0 {
		hosts = hostNames(w.Fleet)
	}
	t := Toplevels{}
	for _, h := range hosts {
		t[h] = top(h, n)
	}
	return t
}
