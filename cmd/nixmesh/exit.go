package main

import (
	"context"
	"errors"
	"fmt"
)

// Exit codes. A code that is not in this list has to be treated as a failure.
const (
	exitOK          = 0
	exitFailed      = 1
	exitChanges     = 2 // plan --exit-code
	exitInvalid     = 3
	exitRolledBack  = 4
	exitDegraded    = 5
	exitRefused     = 6
	exitUnreachable = 7
	exitUsage       = 64
	exitInterrupted = 130
)

// exitError carries the exit code of a failure whose message is err. A nil err
// means that everything was said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageErrorf is a mistake on the command line: exit 64.
func usageErrorf(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// exitCode is the one place where an error becomes an exit code.
func exitCode(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case isUsage(err.Error()):
		return exitUsage
	default:
		return exitFailed
	}
}
