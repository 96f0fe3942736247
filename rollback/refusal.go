package rollback

import (
	"errors"
	"fmt"
)

// Exit statuses of Main.
const (
	exitFailed  = 1
	exitRefused = 6
)

// refusalError is a verb that did not do what was asked, with a reason that
// the deployer can act on.
type refusalError struct {
	code string
	next string
	err  error
}

func (e *refusalError) Error() string { return e.err.Error() }
func (e *refusalError) Unwrap() error { return e.err }

// refuse makes a refusal: nothing was changed. next is what to do now.
func refuse(code, next, format string, args ...any) error {
	return &refusalError{code: code, next: next, err: fmt.Errorf(format, args...)}
}

// refusal is the answer for an error, and the exit status.
func refusal(err error) (Refusal, int) {
	var r *refusalError
	switch {
	case errors.As(err, &r):
		return Refusal{Error: err.Error(), Code: r.code, Next: r.next}, exitRefused
	case errors.Is(err, errConflict), errors.Is(err, errNoRun):
		return Refusal{Error: err.Error(), Code: CodePhase, Next: "read the host's status"}, exitRefused
	default:
		return Refusal{Error: err.Error(), Code: CodeFailed}, exitFailed
	}
}
