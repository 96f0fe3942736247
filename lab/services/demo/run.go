package demo

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// errCrash ends a service that CRASH_AFTER told to crash.
var errCrash = errors.New("crash: CRASH_AFTER is over")

// Run is the main of a service: it runs work until the process is told to end,
// the work ends by itself, or CRASH_AFTER is over. It returns the exit code.
func Run(name string, work func(ctx context.Context, f Faults) error) int {
	logger := log.New(os.Stderr, name+": ", 0)
	faults, err := ReadFaults(os.Getenv)
	if err != nil {
		logger.Print(err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if faults.CrashAfter > 0 {
		crash, cancel := context.WithTimeoutCause(ctx, faults.CrashAfter, errCrash)
		defer cancel()
		ctx = crash
	}
	if err := work(ctx, faults); err != nil {
		logger.Print(err)
		return 1
	}
	if err := context.Cause(ctx); errors.Is(err, errCrash) {
		logger.Print(err)
		return 1
	}
	return 0
}

// sleep waits for d, or until the context ends.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
