// Package leaks finds goroutines that tests leave behind. Only tests import it.
package leaks

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long goroutines have for their end, on a machine with other work.
const patience = 2 * time.Minute

// Main runs the tests of a package, and fails where goroutines are left that do not
// end.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := left(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Before notes what runs before a test; the function that it gives fails the test
// where more is left.
func Before(t *testing.T) (after func()) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	return func() {
		t.Helper()
		if err := left(before); err != nil {
			t.Error(err)
		}
	}
}

// left waits for the end of all goroutines, and says which do not come to it.
func left(options ...goleak.Option) (err error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if err = goleak.Find(options...); err == nil {
			return nil
		}
	}
	return err
}
