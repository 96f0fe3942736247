package rollback

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// envoyRestart bounds a restart of Envoy, which takes half a second: its own
// limits are 10 s to end and 20 s to start.
const envoyRestart = 35 * time.Second

// envoyCheck bounds a look at a file, which takes 0.2 s, and on a host that is busy
// with a switch longer.
const envoyCheck = time.Minute

// errEnvoyLate is no answer, so no judgement.
var errEnvoyLate = errors.New("no answer in time")

// envoyVersion is in the name of a package: /nix/store/HASH-envoy-1.40.0/bin/envoy.
var envoyVersion = regexp.MustCompile(`-([0-9]+\.[0-9.]+)/bin/envoy$`)

// envoyState is the Envoy that runs, nil where there is none. A switch leaves it
// running, so it may be another one than the running system names.
func (h *helper) envoyState(ctx context.Context, s Systemd) (*EnvoyState, error) {
	facts, err := h.facts(h.current())
	if err != nil || facts.Mesh == nil || facts.Mesh.Envoy == nil {
		return nil, nil //nolint:nilerr // a system without nixmesh has none
	}
	details, err := s.Show(ctx, []string{hostfacts.EnvoyUnit})
	if err != nil || len(details) == 0 || details[0].MainPID == 0 {
		return nil, err
	}
	state := runningEnvoy(h.text(fmt.Sprintf("/proc/%d/cmdline", details[0].MainPID)))
	if state == nil { // it is just being started, by a shell
		return nil, nil
	}
	wanted := facts.Mesh.Envoy
	state.Stale = state.Binary != wanted.Binary || state.Bootstrap != wanted.Bootstrap
	state.Wanted = wanted.Version
	if state.Binary == wanted.Binary {
		state.Version = wanted.Version
	} else if m := envoyVersion.FindStringSubmatch(state.Binary); m != nil {
		state.Version = m[1]
	}
	return state, nil
}

// runningEnvoy reads a command line as the kernel has it.
func runningEnvoy(cmdline string) *EnvoyState {
	words := strings.Split(cmdline, "\x00")
	if !strings.HasSuffix(words[0], "/bin/envoy") {
		return nil
	}
	state := &EnvoyState{Binary: words[0]}
	for i, word := range words[:len(words)-1] {
		if word == "--config-path" {
			state.Bootstrap = words[i+1]
		}
	}
	return state
}

// envoyLook lets the Envoy of NEW judge, beside the samples, the file that it is going
// to be started with after the commit. One that does not answer is asked again.
type envoyLook struct {
	h      *helper
	wanted *hostfacts.Envoy

	mu        sync.Mutex // guards what follows
	condition condition
	answered  bool
}

// envoyFits is the look at the next Envoy, nil where it is the one that runs already
// or is started by the switch. wg waits for it.
func (h *helper) envoyFits(ctx context.Context, wg *sync.WaitGroup, j *Journal, facts *hostfacts.Facts) *envoyLook {
	old, err := h.facts(j.Old)
	if err != nil || old.Mesh == nil || old.Mesh.Envoy == nil || facts.Mesh == nil || facts.Mesh.Envoy == nil || *old.Mesh.Envoy == *facts.Mesh.Envoy {
		return nil //nolint:nilerr // OLD has no nixmesh
	}
	l := &envoyLook{h: h, wanted: facts.Mesh.Envoy}
	l.condition = condition{name: "the next Envoy", unit: hostfacts.EnvoyUnit,
		answer: fmt.Sprintf("envoy %s has not answered yet whether it takes %s", l.wanted.Version, l.wanted.Bootstrap)}
	wg.Go(func() {
		for ctx.Err() == nil && !l.ask(ctx) {
		}
	})
	return l
}

// ask asks once, and says whether there was an answer.
func (l *envoyLook) ask(ctx context.Context) bool {
	err := l.h.checkEnvoy(ctx, l.wanted)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered = !errors.Is(err, errEnvoyLate)
	l.condition.ok, l.condition.answer = err == nil, ""
	if err != nil {
		l.condition.answer = err.Error()
	}
	return l.answered
}

// judge adds the look to a sample. An Envoy that refuses its file does so for good.
func (l *envoyLook) judge(s *sample) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.condition
	s.add(c)
	if l.answered && !c.ok {
		s.hopeless = &c
	}
}

// checkEnvoy lets an Envoy judge the file that it would start with.
func (h *helper) checkEnvoy(ctx context.Context, wanted *hostfacts.Envoy) error {
	ctx, cancel := context.WithTimeout(ctx, envoyCheck)
	defer cancel()
	res, err := h.Run(ctx, Command{Path: wanted.Binary, Args: []string{"--mode", "validate", "--config-path", wanted.Bootstrap, "--log-level", "error"}, Env: []string{}})
	if ctx.Err() != nil { // it was killed, so its status says nothing
		return fmt.Errorf("ask envoy %s (%s) whether it takes %s: %w", wanted.Version, wanted.Binary, wanted.Bootstrap, errEnvoyLate)
	}
	if err == nil && res.Code != 0 {
		err = fmt.Errorf("status %d: %s", res.Code, lastLine(string(res.Out)))
	}
	if err != nil {
		return fmt.Errorf("envoy %s (%s) does not take %s: %w", wanted.Version, wanted.Binary, wanted.Bootstrap, err)
	}
	return nil
}

// envoy restarts Envoy where it is not the one of the running system, which nobody
// but the deployer may have drained before. Not during a run: what the running
// system is may change under it.
func (h *helper) envoy(ctx context.Context, _ *call) error {
	var req EnvoyRequest
	if err := h.request(&req); err != nil {
		return err
	}
	j, err := h.journals.load()
	if err == nil {
		err = h.underWay(j, "")
	}
	if err != nil && !errors.Is(err, errNoRun) {
		return err
	}
	answer := EnvoyAnswer{}
	see := func() (*EnvoyState, error) {
		var state *EnvoyState
		err := h.withSystemd(ctx, func(s Systemd) (err error) {
			state, err = h.envoyState(ctx, s)
			return err
		})
		return state, err
	}
	if answer.Was, err = see(); err != nil {
		return err
	}
	if answer.Was == nil || !answer.Was.Stale {
		answer.Runs = answer.Was
		return h.answer(answer)
	}
	ctx, cancel := context.WithTimeout(ctx, envoyRestart)
	defer cancel()
	if req.Check {
		facts, err := h.facts(h.current())
		if err == nil {
			err = h.checkEnvoy(ctx, facts.Mesh.Envoy)
		}
		if err != nil {
			return err
		}
		answer.Runs = answer.Was
		return h.answer(answer)
	}
	begun := h.Clock.Boot()
	if _, err := h.runTool(ctx, nil, "systemctl", "restart", hostfacts.EnvoyUnit); err != nil {
		return fmt.Errorf("restart Envoy: %w", err)
	}
	answer.Took = (h.Clock.Boot() - begun).Seconds()
	if answer.Runs, err = see(); err != nil {
		return err
	}
	return h.answer(answer)
}
