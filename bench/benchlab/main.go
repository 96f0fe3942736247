package benchlab

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Main is a measurement of some changes in a fleet's folder, which ends by itself and
// puts back what it changed when it is interrupted.
func Main(name, changes string, run func(ctx context.Context, dir string, n int) error) {
	n := flag.Int("n", 50, changes)
	within := flag.Duration("within", 4*time.Minute, "end without a result after this time")
	flag.Parse()
	dir := "."
	if flag.NArg() > 0 {
		dir = flag.Arg(0)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *within)
	defer cancel()
	if err := run(ctx, dir, *n); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}
