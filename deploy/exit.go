package deploy

// Exit is what an operation ended with; the numbers are the command's exit
// codes.
type Exit int

// The ends of an operation.
const (
	ExitDone        Exit = 0
	ExitFailed      Exit = 1   // nothing changed, or the message says what
	ExitInvalid     Exit = 3   // the spec, or a lock file that would change
	ExitRolledBack  Exit = 4   // at least one host returned to its old generation
	ExitDegraded    Exit = 5   // a host is in neither state and needs a person
	ExitRefused     Exit = 6   // lease held, drift, a risk not accepted
	ExitUnreachable Exit = 7   // nothing else went wrong
	ExitInterrupted Exit = 130 // Ctrl-C
)

// Worst is the more serious of two ends, in the order 5, 4, 1, 6, 7. An
// interruption is told only where nothing failed.
func Worst(a, b Exit) Exit {
	if severity(b) > severity(a) {
		return b
	}
	return a
}

func severity(e Exit) int {
	for i, x := range []Exit{ExitDone, ExitInterrupted, ExitUnreachable, ExitRefused, ExitFailed, ExitRolledBack, ExitDegraded} {
		if x == e {
			return i
		}
	}
	return 100
}

// Error is a failure with its end and the command that helps.
type Error struct {
	Exit Exit
	Err  error
	Next string // command, or a sentence
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
