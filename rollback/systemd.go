package rollback

import (
	"context"
	"time"
)

// Units starts and stops units.
type Units interface {
	// Start queues a start job and returns; a unit that is active stays so.
	Start(ctx context.Context, unit string) error
	// Stop stops a unit and waits for it; one that is not loaded is no error.
	Stop(ctx context.Context, unit string) error
	// Reload is a daemon-reload.
	Reload(ctx context.Context) error
	// ResetFailed forgets that a unit failed; one not loaded is no error.
	ResetFailed(ctx context.Context, unit string) error
	// StartTimer makes the transient timer name that starts the service of
	// the same name once, after the given time. The deadline is absolute: no
	// daemon-reload or daemon-reexec moves it. An older timer of the name is
	// replaced. It returns when systemd shows the timer waiting.
	StartTimer(ctx context.Context, name string, after time.Duration) error
}

// UnitReader asks about units.
type UnitReader interface {
	// List returns all loaded units.
	List(ctx context.Context) ([]UnitInfo, error)
	// Show returns the details of units by name, in that order; a name that
	// is not loaded is loaded for it.
	Show(ctx context.Context, units []string) ([]UnitDetail, error)
	// State is the manager's: running, degraded, starting, stopping…
	State(ctx context.Context) (string, error)
	Close()
}

// Systemd is PID 1.
type Systemd interface {
	Units
	UnitReader
}

// UnitInfo is one line of systemd's list of units.
type UnitInfo struct {
	Name   string
	Load   string // loaded, not-found, bad-setting, error, masked
	Active string // active, inactive, failed, activating, deactivating, reloading
	Sub    string // running, auto-restart, waiting…
	Job    bool   // a job is queued or running
}

// UnitDetail is a unit as verification needs it.
type UnitDetail struct {
	UnitInfo
	Invocation string // hex; changes with every start
	Restarts   uint32 // services: automatic restarts
	MainPID    uint32 // services
}

// failed says that systemd has given the unit up.
func (u UnitInfo) failed() bool { return u.Active == "failed" }

// restarting says that the unit died and systemd will start it again: a
// service that dies every second is never "failed".
func (u UnitInfo) restarting() bool {
	return u.Sub == "auto-restart" || u.Sub == "auto-restart-queued"
}

// busy says that the unit runs, or is about to.
func (u UnitInfo) busy() bool {
	return u.Job || (u.Active != "inactive" && u.Active != "failed" && u.Active != "")
}

// withSystemd runs f on a connection of its own.
func (h *helper) withSystemd(ctx context.Context, f func(Systemd) error) error {
	s, err := h.Systemd(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	return f(s)
}
