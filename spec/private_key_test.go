package spec

import (
	"bytes"
	"strings"
	"testing"
)

// TestPrivateKeyIsNotShown: a private key that was pasted goes to no terminal and
// no log, neither in words nor in the line of the file.
func TestPrivateKeyIsNotShown(t *testing.T) {
	for _, line := range []string{
		`ssh = ["-----BEGIN OPENSSH PRIVATE KEY----- b3BlbnNzaC1rZXktdjEAAAAA"]`,
		`age = "AGE-SECRET-KEY-1B3BLBNNZAC1RZXKTDJEAAAAA"`,
		`nix_key = "a-1:6uuIXy3R1zxnTWJ/9WjF8EuPZ4VvTJTpDcNsFmxRsLJbVGMFVXKd9F4zE9N4JRK6QGdAg5H1Pmj6yT2s7lHvBA=="`,
	} {
		dir := t.TempDir()
		write(t, dir, "nixmesh.hcl", base+"operator \"b\" { "+line+" }\n")
		l := Load(dir, Options{})
		var text bytes.Buffer
		l.Diagnostics.Render(&text, l.Files, false)
		text.Write(l.Diagnostics.JSON())
		for _, part := range []string{"b3BlbnNzaC1", "B3BLBNNZAC1", "6uuIXy3R1zx"} {
			if strings.Contains(text.String(), part) || !strings.Contains(text.String(), "That is a private key: replace it") {
				t.Error(text.String())
			}
		}
	}
}
