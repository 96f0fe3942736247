package rollback

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// systemdSocket is PID 1's own socket: it answers without a D-Bus daemon,
// which NEW may restart or break.
const systemdSocket = "unix:path=/run/systemd/private"

// dbusTimeout bounds every single call: PID 1 may be in a daemon-reload.
const dbusTimeout = 90 * time.Second

// stopPoll is how often Stop asks whether the unit has stopped.
const stopPoll = 20 * time.Millisecond

const (
	managerIface = "org.freedesktop.systemd1.Manager"
	unitIface    = "org.freedesktop.systemd1.Unit"
	serviceIface = "org.freedesktop.systemd1.Service"
	timerIface   = "org.freedesktop.systemd1.Timer"
)

// manager is a connection to PID 1.
type manager struct{ conn *dbus.Conn }

var _ Systemd = (*manager)(nil)

func dialSystemd(ctx context.Context) (Systemd, error) {
	conn, err := dbus.Dial(systemdSocket, dbus.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("connect to systemd: %w", err)
	}
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
		return nil, errors.Join(fmt.Errorf("authenticate to systemd: %w", err), conn.Close())
	}
	m := &manager{conn: conn}
	if err := m.wake(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return m, nil
}

// How long PID 1 may take to answer the first message, and how often it is
// sent. A daemon-reload of a large system keeps PID 1 busy for seconds.
const (
	wakeTimeout = 60 * time.Second
	wakeEvery   = 20 * time.Millisecond
)

// wake sends pings until one is answered. A message that reaches systemd in
// the same read as the end of the authentication stays in its buffer until
// more comes (seen with systemd 257, in one connection out of ten): without a
// second message the first one waits for ever.
func (m *manager) wake(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, wakeTimeout)
	defer cancel()
	answered := make(chan *dbus.Call, int(wakeTimeout/wakeEvery)+1)
	for {
		m.object().GoWithContext(ctx, "org.freedesktop.DBus.Peer.Ping", 0, answered)
		again := time.NewTimer(wakeEvery)
		select {
		case c := <-answered:
			again.Stop()
			if c.Err != nil {
				return fmt.Errorf("ping systemd: %w", c.Err)
			}
			return nil
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return fmt.Errorf("ping systemd: %w", context.Cause(ctx))
		}
	}
}

// Close has nobody to tell: what was asked is answered.
func (m *manager) Close() { _ = m.conn.Close() }

func (m *manager) object() dbus.BusObject {
	return m.conn.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
}

func (m *manager) unit(name string) dbus.BusObject {
	return m.conn.Object("org.freedesktop.systemd1",
		dbus.ObjectPath("/org/freedesktop/systemd1/unit/"+systemd.PathBusEscape(name)))
}

func (m *manager) call(ctx context.Context, method string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, dbusTimeout)
	defer cancel()
	if err := m.object().CallWithContext(ctx, managerIface+"."+method, 0, args...).Err; err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

func (m *manager) Start(ctx context.Context, unit string) error {
	if err := m.call(ctx, "StartUnit", unit, "replace"); err != nil {
		return fmt.Errorf("start %s: %w", unit, err)
	}
	return nil
}

func (m *manager) Stop(ctx context.Context, unit string) error {
	err := m.call(ctx, "StopUnit", unit, "replace")
	if noSuchUnit(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop %s: %w", unit, err)
	}
	ctx, cancel := context.WithTimeout(ctx, dbusTimeout)
	defer cancel()
	for {
		u, err := m.Show(ctx, []string{unit})
		if err != nil {
			return fmt.Errorf("stop %s: %w", unit, err)
		}
		if !u[0].busy() {
			return nil
		}
		if err := (bootClock{}).Sleep(ctx, stopPoll); err != nil {
			return fmt.Errorf("stop %s: %w", unit, err)
		}
	}
}

func (m *manager) Reload(ctx context.Context) error { return m.call(ctx, "Reload") }

func (m *manager) ResetFailed(ctx context.Context, unit string) error {
	if err := m.call(ctx, "ResetFailedUnit", unit); err != nil && !noSuchUnit(err) {
		return fmt.Errorf("reset failed %s: %w", unit, err)
	}
	return nil
}

func noSuchUnit(err error) bool {
	var e dbus.Error
	return errors.As(err, &e) && (e.Name == "org.freedesktop.systemd1.NoSuchUnit" || e.Name == "org.freedesktop.systemd1.LoadFailed")
}

// StartTimer uses OnStartupSec: systemd counts it from the start of user
// space, so the deadline is absolute on the monotonic clock. OnActiveSec would
// start again at every daemon-reload, STC's own included.
func (m *manager) StartTimer(ctx context.Context, name string, after time.Duration) error {
	if err := m.Stop(ctx, name); err != nil {
		return err
	}
	started, err := m.object().GetProperty(managerIface + ".UserspaceTimestampMonotonic")
	if err != nil {
		return fmt.Errorf("read start of user space: %w", err)
	}
	startedUsec, ok := started.Value().(uint64)
	if !ok {
		return fmt.Errorf("read start of user space: got %s", started)
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("read monotonic clock: %w", err)
	}
	type monotonic struct {
		Base string
		USec uint64
	}
	type property struct {
		Name  string
		Value dbus.Variant
	}
	type auxiliary struct {
		Name       string
		Properties []property
	}
	at := uint64(now.Nano()/1000) - startedUsec + uint64(after.Microseconds())
	properties := []property{
		{"Description", dbus.MakeVariant("nixmesh dead man's timer")},
		{"DefaultDependencies", dbus.MakeVariant(false)},
		{"IgnoreOnIsolate", dbus.MakeVariant(true)},
		{"CollectMode", dbus.MakeVariant("inactive-or-failed")},
		{"AccuracyUSec", dbus.MakeVariant(uint64(time.Second.Microseconds()))},
		{"TimersMonotonic", dbus.MakeVariant([]monotonic{{"OnStartupSec", at}})},
	}
	if err := m.call(ctx, "StartTransientUnit", name, "replace", properties, []auxiliary{}); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	return m.awaitTimer(ctx, name)
}

// awaitTimer waits until systemd shows the timer with its next elapse.
func (m *manager) awaitTimer(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		u, err := m.Show(ctx, []string{name})
		if err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
		next, err := m.unit(name).GetProperty(timerIface + ".NextElapseUSecMonotonic")
		if err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
		if usec, ok := next.Value().(uint64); ok && usec > 0 && u[0].Sub == "waiting" {
			return nil
		}
		if err := (bootClock{}).Sleep(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("start %s: systemd shows it %s/%s: %w", name, u[0].Active, u[0].Sub, err)
		}
	}
}

func (m *manager) State(ctx context.Context) (string, error) {
	v, err := m.object().GetProperty(managerIface + ".SystemState")
	if err != nil {
		return "", fmt.Errorf("read system state: %w", err)
	}
	s, _ := v.Value().(string)
	return s, nil
}

func (m *manager) List(ctx context.Context) ([]UnitInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, dbusTimeout)
	defer cancel()
	var rows []struct {
		Name, Description, Load, Active, Sub, Following string
		Path                                            dbus.ObjectPath
		JobID                                           uint32
		JobType                                         string
		JobPath                                         dbus.ObjectPath
	}
	if err := m.object().CallWithContext(ctx, managerIface+".ListUnits", 0).Store(&rows); err != nil {
		return nil, fmt.Errorf("list units: %w", err)
	}
	units := make([]UnitInfo, len(rows))
	for i, r := range rows {
		units[i] = UnitInfo{Name: r.Name, Load: r.Load, Active: r.Active, Sub: r.Sub, Job: r.JobID != 0}
	}
	return units, nil
}

// showProperties are asked for each unit, the last two of services only.
var showProperties = [...][2]string{
	{unitIface, "LoadState"}, {unitIface, "ActiveState"}, {unitIface, "SubState"},
	{unitIface, "InvocationID"}, {unitIface, "Job"},
	{serviceIface, "NRestarts"}, {serviceIface, "MainPID"},
}

// showBatch bounds the calls in flight: the socket's buffer is finite.
const showBatch = 64

// Show asks for single properties, pipelined: 22 ms for 200 units, where all
// properties of all units would cost PID 1 0.2 s.
func (m *manager) Show(ctx context.Context, units []string) ([]UnitDetail, error) {
	ctx, cancel := context.WithTimeout(ctx, dbusTimeout)
	defer cancel()
	out := make([]UnitDetail, 0, len(units))
	for len(units) > 0 {
		n := min(showBatch, len(units))
		details, err := m.showBatch(ctx, units[:n])
		if err != nil {
			return nil, err
		}
		out, units = append(out, details...), units[n:]
	}
	return out, nil
}

func (m *manager) showBatch(ctx context.Context, units []string) ([]UnitDetail, error) {
	calls := make([][]*dbus.Call, len(units))
	for i, name := range units {
		for _, p := range showProperties {
			if p[0] == serviceIface && !isService(name) {
				continue
			}
			calls[i] = append(calls[i], m.unit(name).GoWithContext(ctx,
				"org.freedesktop.DBus.Properties.Get", 0, make(chan *dbus.Call, 1), p[0], p[1]))
		}
	}
	details := make([]UnitDetail, len(units))
	for i, name := range units {
		details[i].Name = name
		for k, c := range calls[i] {
			select {
			case <-c.Done:
			case <-ctx.Done():
				return nil, fmt.Errorf("show %s: %w", name, context.Cause(ctx))
			}
			if err := details[i].set(showProperties[k][1], c); err != nil {
				return nil, fmt.Errorf("show %s: %w", name, err)
			}
		}
	}
	return details, nil
}

// set stores one answer. A unit that vanished between two calls answers with
// an error of its own, which is no failure of the connection.
func (u *UnitDetail) set(property string, c *dbus.Call) error {
	if c.Err != nil {
		var e dbus.Error
		if errors.As(c.Err, &e) {
			return nil
		}
		return c.Err
	}
	var v dbus.Variant
	if err := c.Store(&v); err != nil {
		return err
	}
	switch x := v.Value().(type) {
	case string:
		switch property {
		case "LoadState":
			u.Load = x
		case "ActiveState":
			u.Active = x
		case "SubState":
			u.Sub = x
		}
	case []byte:
		u.Invocation = hex.EncodeToString(x)
	case uint32:
		switch property {
		case "NRestarts":
			u.Restarts = x
		case "MainPID":
			u.MainPID = x
		}
	case []any: // Job: (id, path)
		if id, ok := x[0].(uint32); ok {
			u.Job = id != 0
		}
	}
	return nil
}
