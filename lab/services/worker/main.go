// Worker is a demo service without a listener: it works in rounds.
//
//	worker         works until it is told to end
//	worker ping    exits 0 when a worker of this folder works, else 1 and why
//
// Both meet in the file heartbeat in $RUNTIME_DIRECTORY, else in
// $STATE_DIRECTORY. Faults: see package demo; FAIL_HEALTH makes ping fail.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nixmesh/nixmesh/lab/services/demo"
)

// round is how often a worker works, and says so.
const round = 500 * time.Millisecond

func main() {
	file, err := heartbeatFile(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(2)
	}
	switch {
	case len(os.Args) == 1:
		os.Exit(demo.Run("worker", func(ctx context.Context, f demo.Faults) error {
			return work(ctx, file, f)
		}))
	case len(os.Args) == 2 && os.Args[1] == "ping":
		if err := ping(file, time.Now()); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		fmt.Println("ok")
	default:
		fmt.Fprintln(os.Stderr, "usage: worker [ping]")
		os.Exit(2)
	}
}

// work does a round at a time, and writes after each that it is alive.
func work(ctx context.Context, file string, f demo.Faults) error {
	ticker := time.NewTicker(round + f.Slow)
	defer ticker.Stop()
	for {
		if err := beat(file, time.Now(), f.FailHealth); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
