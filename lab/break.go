package lab

import (
	"context"
	"errors"
)

// Break adds faults to a host; see Fault. They stay until Heal, the power cut
// and a switch that hung excepted.
func (l *Lab) Break(ctx context.Context, host string, f Fault) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.Clock != 0 {
		if err := l.moveClock(ctx, host, f.Clock); err != nil {
			return err
		}
	}
	_, _, err := l.ask(ctx, request{Op: "break", Host: host, Fault: f})
	return err
}

// Partition drops every packet between hosts of a and hosts of b, both ways,
// until Heal. This machine still reaches all of them.
func (l *Lab) Partition(ctx context.Context, a, b []string) error {
	_, _, err := l.ask(ctx, request{Op: "partition", A: a, B: b})
	return err
}

// Heal ends all faults and partitions, and boots the hosts that are off.
func (l *Lab) Heal(ctx context.Context) error {
	clocks := l.resetClocks(ctx)
	_, _, err := l.ask(ctx, request{Op: "heal"})
	return errors.Join(err, clocks)
}
