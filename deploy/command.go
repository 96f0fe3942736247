package deploy

import (
	"bytes"
	"context"

	"github.com/nixmesh/nixmesh/remote"
)

// capture runs a line on c and collects what it writes.
func capture(ctx context.Context, c remote.Host, line string, stdin []byte) (out []byte, errText string, status int, err error) {
	var stdout, stderr bytes.Buffer
	status, err = c.Run(ctx, remote.Command{Line: line, Stdin: bytes.NewReader(stdin), Stdout: &stdout, Stderr: &stderr})
	return stdout.Bytes(), stderr.String(), status, err
}
