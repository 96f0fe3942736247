package testkit

import (
	"os"
	"syscall"
	"testing"
)

// WriteProgram writes a program that the test then runs. No child is started
// meanwhile: it would hold the file open for writing until its own exec, and
// the program could not be run ("text file busy", https://go.dev/issue/22315).
func WriteProgram(t *testing.T, path string, content []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
}
