package rollback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// How long status --wait waits, and how often it looks. A journal that is
// replaced is seen within one look.
const (
	defaultStatusWait = 30 * time.Second
	maxStatusWait     = 15 * time.Minute
	statusPoll        = 50 * time.Millisecond
)

// status answers with the journal and what the host is; with --wait only when
// the phase is none of the request's any more, the verdict is in, or the time
// is over.
func (h *helper) status(ctx context.Context, c *call) error {
	var req StatusRequest
	if err := h.request(&req); err != nil {
		return err
	}
	if c.wait {
		if err := h.waitForChange(ctx, req); err != nil {
			return err
		}
	}
	if j, err := h.journals.load(); err == nil && j.Phase.Terminal() {
		if err := h.awaitClose(ctx, j.Run); err != nil {
			return err
		}
	}
	return h.answerStatus(ctx, req)
}

func (h *helper) waitForChange(ctx context.Context, req StatusRequest) error {
	wait := req.WaitFor.D()
	if wait <= 0 {
		wait = defaultStatusWait
	}
	until := h.Clock.Boot() + min(wait, maxStatusWait)
	for h.Clock.Boot() < until {
		j, err := h.journals.load()
		if errors.Is(err, errNoRun) {
			return nil
		}
		if err != nil {
			return err
		}
		if (req.Run != "" && j.Run != req.Run) || !slices.Contains(req.While, j.Phase) ||
			(j.Phase == PhaseVerifying && j.Verdict != nil) {
			return nil
		}
		if err := h.Clock.Sleep(ctx, statusPoll); err != nil {
			return err
		}
	}
	return nil
}

func (h *helper) answerStatus(ctx context.Context, req StatusRequest) error {
	a := StatusAnswer{Protocol: hostfacts.Protocol, BootID: h.bootID, Current: h.current(), Load: h.load(), MemUsed: h.memUsed()}
	a.Profile, a.Gen = h.profile()
	var err error
	if a.Journal, err = h.view(); err != nil {
		return err
	}
	if req.Records > 0 {
		if a.Records, err = h.records(min(req.Records, maxRecords)); err != nil {
			return err
		}
	}
	var units []hostfacts.Unit
	if f, err := h.facts(a.Current); err == nil {
		a.Host, a.Fleet, units = f.Host, f.Fleet, f.Units
	}
	if err := h.withSystemd(ctx, func(s Systemd) error {
		err := a.ask(ctx, s, units)
		if err == nil {
			a.Envoy, err = h.envoyState(ctx, s)
		}
		return err
	}); err != nil {
		h.note("%v", err) // the journal is still worth showing
	}
	return h.answer(a)
}

// ask fills in what systemd knows.
func (a *StatusAnswer) ask(ctx context.Context, s Systemd, units []hostfacts.Unit) error {
	var err error
	if a.State, err = s.State(ctx); err != nil {
		return err
	}
	names := make([]string, len(units))
	for i, u := range units {
		names[i] = u.Name
	}
	details, err := s.Show(ctx, names)
	if err != nil {
		return err
	}
	for i, d := range details {
		a.Units = append(a.Units, UnitState{Name: d.Name, Service: units[i].Service, Active: d.Active, Sub: d.Sub})
	}
	return nil
}

// view is the journal as answers carry it; nil where there was no run.
func (h *helper) view() (*JournalView, error) {
	j, err := h.journals.load()
	if errors.Is(err, errNoRun) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v := &JournalView{Run: j.Run, Release: j.Release, Phase: j.Phase, Old: j.Old, New: j.New, Generation: j.Generation,
		Verdict: j.Verdict, Reason: j.Reason, LogTail: j.LogTail, LeftFailed: j.LeftFailed, Times: j.Times}
	if !j.Phase.Terminal() {
		_, v.Generation = h.profile()
		if j.Deadline > 0 {
			v.Deadline = max(0, j.Deadline-h.journals.now())
		}
	} else if j.Release > 0 && j.ReleaseHash != "" {
		v.Outcome = recordFile(j.Release, j.ReleaseHash, ".outcome.json")
	}
	if j.Phase == PhaseVerifying {
		if b, err := h.Files.ReadFile(progressFile(j.Run)); err == nil {
			p := &VerifyState{}
			if json.Unmarshal(b, p) == nil {
				v.Progress = p
			}
		}
	}
	return v, nil
}

// load is the load average of 1, 5 and 15 minutes as text.
func (h *helper) load() string {
	f := strings.Fields(h.text("/proc/loadavg"))
	if len(f) < 3 {
		return ""
	}
	return strings.Join(f[:3], " ")
}

// memUsed is the share of memory that is not available.
func (h *helper) memUsed() float64 {
	kib := map[string]float64{}
	for _, line := range splitLines(h.text("/proc/meminfo")) {
		name, rest, ok := strings.Cut(line, ":")
		if f := strings.Fields(rest); ok && len(f) > 0 {
			if v, err := strconv.ParseFloat(f[0], 64); err == nil {
				kib[name] = v
			}
		}
	}
	if kib["MemTotal"] <= 0 {
		return 0
	}
	return 1 - kib["MemAvailable"]/kib["MemTotal"]
}

// followPoll is how often log --follow looks for more.
const followPoll = 100 * time.Millisecond

// showLog writes the run's log; with --follow until the run is over and all of
// it is told.
func (h *helper) showLog(ctx context.Context, c *call) error {
	told := 0
	for {
		j, err := h.journals.load()
		over := err != nil || j.Run != c.run || j.Phase.Terminal()
		b, err := h.Files.ReadFile(logFile(c.run))
		if err != nil && !c.follow {
			return refuse(CodeUsage, "", "there is no log of run %s on this host", c.run)
		}
		if len(b) > told {
			if _, err := h.Stdout.Write(b[told:]); err != nil {
				return fmt.Errorf("write log: %w", err)
			}
			told = len(b)
		}
		if !c.follow || over {
			return nil
		}
		if err := h.Clock.Sleep(ctx, followPoll); err != nil {
			return err
		}
	}
}
