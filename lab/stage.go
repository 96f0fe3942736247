package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Stages are this program, started again under another name to become
// something in new namespaces. Each ends in an exec, the supervisor excepted.
const (
	stagePrefix    = "nixmesh-lab-"
	stageConfigure = stagePrefix + "configure" // ROOT: second half of debootstrap
	stageEnter     = stagePrefix + "enter"     // see view.command
	stageBoot      = stagePrefix + "boot"      // a host; bootConfig on descriptor 3
	stageSupervise = stagePrefix + "supervise" // STATEDIR, for ps; superviseConfig on descriptor 3
	stageSweep     = stagePrefix + "sweep"     // MOUNTPOINT ID, see sweepStage
)

// Stage runs the stage that argv[0] names. ok is false when it names none;
// then this process is an ordinary one. The first thing that main (and
// TestMain of a test that starts labs) does is:
//
//	if code, ok := lab.Stage(os.Args); ok {
//		os.Exit(code)
//	}
func Stage(argv []string) (code int, ok bool) {
	stages := map[string]func([]string) error{
		stageConfigure: configureStage,
		stageEnter:     enterStage,
		stageBoot:      bootStage,
		stageSupervise: superviseStage,
		stageSweep:     sweepStage,
	}
	name := filepath.Base(argv[0])
	stage, ok := stages[name]
	if !ok {
		return 0, false
	}
	// Namespaces and the final exec belong to one thread.
	runtime.LockOSThread()
	err := stage(argv[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 125, true
	}
	return 0, true
}

// stageCommand starts this program as a stage. A cancelled context asks it to
// end, and kills it five seconds later.
func stageCommand(ctx context.Context, stage string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Args[0] = stage
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// configureStage is process 1 of a PID namespace: it mounts /proc in the
// image and becomes debootstrap's second stage.
func configureStage(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want ROOT")
	}
	var m mounts
	m.private()
	m.mount("proc", filepath.Join(args[0], "proc"), "proc", 0, "")
	if m.err != nil {
		return m.err
	}
	return execIn(args[0], "/", "/debootstrap/debootstrap", []string{"debootstrap", "--second-stage"}, os.Environ())
}

// execIn makes root the root folder and becomes a program in it.
func execIn(root, dir, program string, argv, env []string) error {
	if err := syscall.Chroot(root); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	if err := syscall.Chdir(dir); err != nil {
		return fmt.Errorf("enter folder %s: %w", dir, err)
	}
	if err := syscall.Exec(program, argv, env); err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	return nil
}
