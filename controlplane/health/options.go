package health

import (
	"context"
	"log/slog"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// Options is what health works with.
type Options struct {
	// Run runs one check once, of every kind, and ends soon after ctx. Nil is
	// what a real host does: network checks in this process, commands through
	// CheckSockets.
	Run func(ctx context.Context, c hostfacts.Check) hostfacts.Result

	// CheckSockets is the folder of the sockets of the checks' units, for a nil
	// Run; empty is hostfacts.CheckSockets.
	CheckSockets string

	// Cgroups is where cgroup2 is mounted, "/sys/fs/cgroup". Empty: every unit
	// is taken to run since it was configured.
	Cgroups string

	// Units is where systemd's links "invocation:UNIT" are, with Cgroups; empty
	// is "/run/systemd/units".
	Units string

	// NoWatch leaves the kernel's notices of cgroups out: changes are seen each
	// second. A read that waits for the kernel would stop a test's clock.
	NoWatch bool

	// Previous is how instances were before this process, as it had said then.
	// One that was healthy and whose unit still runs since that time is healthy
	// from the start: the restart of an agent is no news of its services.
	Previous []Instance

	Logger *slog.Logger // nil: nothing is logged

	// OnChange is called after an answer of Instances changed, by a goroutine of
	// this package that does nothing else. It may call Instances. Nil: nobody.
	OnChange func()
}

func (o Options) complete() Options {
	if o.CheckSockets == "" {
		o.CheckSockets = hostfacts.CheckSockets
	}
	if o.Units == "" {
		o.Units = "/run/systemd/units"
	}
	if o.Run == nil {
		runner := hostfacts.Runner{CheckSockets: o.CheckSockets}
		o.Run = func(ctx context.Context, c hostfacts.Check) hostfacts.Result {
			return hostfacts.RunCheck(ctx, c, runner)
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnChange == nil {
		o.OnChange = func() {}
	}
	return o
}
