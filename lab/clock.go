package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// clockDropIn moves the clock of a host's agent. It lies in /run, so that a
	// reboot ends it.
	clockDropIn = "/run/systemd/system/nixmesh-agent.service.d/lab-clock.conf"
	// clockDeadline bounds a restart of the agent.
	clockDeadline = 60 * time.Second
	// maxClock is how far a clock can be wrong, either way.
	maxClock = 20 * 365 * 24 * time.Hour
)

// moveClock starts the agent of a host with a clock that is wrong by an offset.
func (l *Lab) moveClock(ctx context.Context, host string, offset time.Duration) error {
	h, err := l.running(ctx, host)
	if err != nil {
		return err
	}
	return l.restartAgent(ctx, h, fmt.Sprintf(`mkdir -p "${f%%/*}" && printf '[Service]\nEnvironment=NIXMESH_DEBUG_CLOCK_OFFSET=%%s\n' %s > "$f"`, offset))
}

// resetClocks starts the agents whose clock was moved with the right one.
func (l *Lab) resetClocks(ctx context.Context) error {
	all, err := l.Status(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, h := range all {
		moved := slices.ContainsFunc(h.Faults, func(f string) bool { return strings.HasPrefix(f, clockWord) })
		if moved && h.State == StateRunning {
			errs = append(errs, l.restartAgent(ctx, h, `rm -f "$f"`))
		}
	}
	return errors.Join(errs...)
}

// restartAgent changes the drop-in ($f) of a host's agent and restarts it.
func (l *Lab) restartAgent(ctx context.Context, h HostStatus, change string) error {
	ctx, cancel := context.WithTimeout(ctx, clockDeadline)
	defer cancel()
	command := fmt.Sprintf("f=%s; %s && systemctl daemon-reload && systemctl restart nixmesh-agent.service", clockDropIn, change)
	if out, err := l.SSH(ctx, h, []string{command}).CombinedOutput(); err != nil {
		return fmt.Errorf("move the clock of the agent on %s: %w: %s", h.Name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// running is a host that runs.
func (l *Lab) running(ctx context.Context, name string) (HostStatus, error) {
	all, err := l.Status(ctx)
	if err != nil {
		return HostStatus{}, err
	}
	i := slices.IndexFunc(all, func(h HostStatus) bool { return h.Name == name })
	switch {
	case i < 0:
		return HostStatus{}, fmt.Errorf("the lab has no host %s", name)
	case all[i].State != StateRunning:
		return HostStatus{}, fmt.Errorf("%s is %s; nixmesh lab heal boots it", name, all[i].State)
	}
	return all[i], nil
}
