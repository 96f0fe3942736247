// Command nixmesh deploys and meshes fleets of bare-metal NixOS machines. The
// same binary is the operator's command line, the host helper (under the name
// nixmesh-host) and the ssh that nix calls (under the name ssh).
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nixmesh/nixmesh/deploy"
	"github.com/nixmesh/nixmesh/lab"
	"github.com/nixmesh/nixmesh/remote"
)

func main() { os.Exit(run(os.Args)) }

// run dispatches on the name that the program was called by.
func run(argv []string) int {
	if code, ok := lab.Stage(argv); ok {
		return code
	}
	switch filepath.Base(argv[0]) {
	case "ssh":
		return remote.Shim(argv[1:], os.Environ(), os.Stdin, os.Stdout)
	case "nixmesh-host":
		return runHost(context.Background(), argv[1:], true)
	}
	if isHelper(argv[1:]) {
		return runHost(context.Background(), argv[2:], false)
	}
	a := &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		getenv: os.Getenv, now: time.Now,
	}
	ctx, stop := interruptible(a)
	defer stop()
	return execute(ctx, a, argv[1:])
}

// execute runs one command line and reports its failure, if it has not been
// reported yet.
func execute(ctx context.Context, a *app, args []string) int {
	root := newRootCmd(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil {
		printError(a, cmd, err)
	}
	return exitCode(err)
}

// errInterrupted is the cause of a context that the first Ctrl-C cancelled.
type errInterrupted struct{}

func (errInterrupted) Error() string { return "interrupted" }

// Is makes the cause count as a cancellation.
func (errInterrupted) Is(target error) bool { return target == context.Canceled }

// interruptible returns a context that the first SIGINT or SIGTERM cancels.
// The second one ends the process at once: hosts resolve by themselves.
func interruptible(a *app) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
		case <-done:
			return
		}
		a.tell("interrupted: starting nothing new; hosts that are armed finish by themselves. Once more to leave now.")
		cancel(errInterrupted{})
		select {
		case <-signals:
			fmt.Fprintln(a.stderr, "\nleft. Hosts that were armed finish or go back by themselves; this deploy's leases end after a minute. Next: "+deploy.Typed(a.lab, "nixmesh status"))
			os.Exit(exitInterrupted)
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
