// Worker is a demo service without a listener: it works in rounds.
//
//	worker                   works until it is told to end
//	worker ping              exits 0 when a worker of this folder works, else 1 and why
//	worker ping --upstreams  also asks postgres, redis and api by their names in the mesh
//
// Worker and ping meet in the file heartbeat in $RUNTIME_DIRECTORY, else in
// $STATE_DIRECTORY. A worker that was given $DATABASE_URL_FILE looks after its
// upstreams, and is well without them. Faults: see package demo; FAIL_HEALTH makes
// ping fail.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"slices"
	"sync"
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
			secrets, err := demo.ReadSecrets(os.Getenv, "DATABASE_URL")
			if err != nil {
				return err
			}
			ctx, stop := context.WithCancel(ctx)
			var watching sync.WaitGroup
			defer watching.Wait()
			defer stop()
			watching.Go(func() { watch(ctx, upstreams(secrets["DATABASE_URL"]), log.New(os.Stderr, "", 0)) })
			return work(ctx, file, f)
		}))
	case slices.Equal(os.Args[1:], []string{"ping"}), slices.Equal(os.Args[1:], []string{"ping", "--upstreams"}):
		err := ping(file, time.Now())
		if err == nil && len(os.Args) == 3 {
			err = pingUpstreams(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		fmt.Println("ok")
	default:
		fmt.Fprintln(os.Stderr, "usage: worker [ping [--upstreams]]")
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
