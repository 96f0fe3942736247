package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/mesh"
)

// Bounds of a drain.
const (
	drainSaid  = 2 * time.Second  // until this host's records say so
	drainTold  = 5 * time.Second  // until the callers' Envoys know
	drainQuiet = 10 * time.Second // until requests have ended: as long as connections of a chain that went away live
	drainMost  = 75 * time.Second // then calls are taken again, whatever became of the restart
	drainWarm  = 3 * time.Second  // for the restarted Envoy to have all, once it has its listeners
	drainLook  = 10 * time.Millisecond
)

// drain is this host sending its callers elsewhere while its Envoy is restarted.
type drain struct {
	mu      sync.Mutex // guards what follows
	now     agentapi.Drain
	leaving map[string]bool // "api@v1"

	answers sync.Mutex // is held while Envoy is told how to answer checks
}

// leaves says whether calls of a version of a service go elsewhere.
func (d *drain) leaves(service, version string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.leaving[placed(service, version)]
}

func placed(service, version string) string {
	if version == "" {
		return service
	}
	return service + "@" + version
}

// Drain is the drain that is under way, or the last one.
func (a *Agent) Drain() agentapi.Drain {
	a.drain.mu.Lock()
	defer a.drain.mu.Unlock()
	return a.drain.now
}

// BeginDrain sends the callers of this host's services elsewhere, as far as there
// is an elsewhere, and returns when their Envoys know and what was under way has
// ended, or had time to. It ends by itself, see endDrain.
func (a *Agent) BeginDrain(ctx context.Context) (agentapi.Drain, error) {
	if a.proxy.envoy() == nil {
		return agentapi.Drain{}, errors.New("this host has no Envoy")
	}
	live := a.documents.live.Load()
	if live == nil {
		return agentapi.Drain{}, errNoDocument
	}
	begun, before, refused := time.Now(), a.envoyNow(ctx), lacking(a.proxy.server.Status())
	leaving, staying := a.elsewhere()
	a.drain.mu.Lock()
	if a.drain.now.Draining {
		a.drain.mu.Unlock()
		return agentapi.Drain{}, errors.New("this host is draining already")
	}
	a.drain.now = agentapi.Drain{Draining: true, Leaving: leaving, Staying: staying, Active: -1}
	a.drain.leaving = map[string]bool{}
	for _, one := range leaving {
		a.drain.leaving[one] = true
	}
	a.drain.mu.Unlock()
	a.logger.Info("draining", "leaving", leaving, "staying", staying)
	a.work.Go(func() { a.endDrain(begun, before, refused) })
	a.poke()
	if hasGateway(live.document.Config, a.host) {
		// Those outside have a check to see it by, and look at it now and then.
		a.problems.check("drain", a.answerChecks(ctx, false), "systemctl status nixmesh-envoy")
	}
	stamp := a.saidDrain(ctx, leaving)
	told, silent := a.tellDrain(ctx, live.document.Config, stamp)
	active := a.quiet(ctx)
	a.drain.mu.Lock()
	defer a.drain.mu.Unlock()
	a.drain.now.Told, a.drain.now.Silent, a.drain.now.Active = told, silent, active
	a.drain.now.Took = time.Since(begun).Seconds()
	return a.drain.now, nil
}

// quiet waits until no request is under way in this host's Envoy, and gives how
// many still are: -1 where Envoy does not say. Open TCP connections are not waited
// for: those of a pool never end.
func (a *Agent) quiet(ctx context.Context) (active int) {
	_ = await(ctx, a.opts.bounds.drainQuiet, func() bool {
		text, err := a.proxy.admin.get(ctx, "/stats?usedonly&filter=downstream_rq_active")
		if err != nil {
			active = -1
			return true
		}
		active = activeRequests(text)
		return active == 0
	})
	return active
}

// activeRequests adds up what Envoy counts, but for the question itself.
func activeRequests(stats []byte) int {
	sum := 0
	for line := range bytes.Lines(stats) {
		name, value, ok := strings.Cut(strings.TrimSpace(string(line)), ": ")
		n, err := strconv.Atoi(value)
		if !ok || err != nil || !strings.HasPrefix(name, "http.") || strings.HasPrefix(name, "http.admin.") || !strings.HasSuffix(name, ".downstream_rq_active") {
			continue
		}
		sum += n
	}
	return sum
}

// endDrain takes calls again when another Envoy than before listens as it was
// told, but for listeners that the one before had not taken either; or after a while,
// so that who asked for the drain and is gone leaves nothing behind.
func (a *Agent) endDrain(begun time.Time, before envoyRun, refused map[string]string) {
	listening, lacks := time.Time{}, error(nil)
	restarted := func() bool {
		s := a.proxy.server.Status()
		if !s.Connected || !s.Since.After(begun) || !a.envoyNow(a.life).replaces(before) {
			return false
		}
		if lacks = a.proxy.listens(s, refused); lacks != nil {
			return false
		}
		if listening.IsZero() {
			listening = time.Now()
		}
		return s.Settled || time.Since(listening) > drainWarm
	}
	why, err := "Envoy was restarted and takes calls", await(a.life, drainMost, restarted)
	switch {
	case err != nil && lacks != nil:
		why = "Envoy was restarted, and " + lacks.Error()
	case err != nil:
		why = fmt.Sprintf("Envoy was not restarted within %s", drainMost)
	}
	a.drain.mu.Lock()
	a.drain.now.Draining, a.drain.now.Ended, a.drain.now.Renewed, a.drain.leaving = false, why, err == nil, nil
	a.drain.mu.Unlock()
	a.logger.Info("drained no more", "why", why)
	a.poke()
	a.undrain(true)
}

func hasGateway(config *mesh.Config, host string) bool {
	for _, g := range config.Gateways {
		if slices.Contains(g.Hosts, host) {
			return true
		}
	}
	return false
}

// await looks until something holds, the context ends or the time is over.
func await(ctx context.Context, most time.Duration, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// Gate is nil when a switch of this host may be kept, as far as its Envoy goes: it
// takes calls as it was told. Before the first mesh configuration there is nothing
// to tell it.
func (a *Agent) Gate() error {
	if a.documents.live.Load() == nil {
		return nil
	}
	return a.proxy.ready()
}
