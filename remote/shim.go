package remote

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
)

// BridgeEnv names the socket of Bridge in the environment of nix, and so of
// the program that nix takes for ssh.
const BridgeEnv = "NIXMESH_BRIDGE"

// Shim is what nix takes for ssh: the program runs it when argv[0] is "ssh".
// Every option is ignored, since the deployer holds the connection already:
//   - `-O check` (is there a control master?) is answered with 255, no;
//   - "started" is the first line, which nix asks for with LocalCommand;
//   - the rest is bytes between stdio and the bridge.
//
// The result is the exit status; 255 is ssh's own failure.
func Shim(args, env []string, stdin io.Reader, stdout io.Writer) int {
	if i := slices.Index(args, "-O"); i >= 0 && i+1 < len(args) && args[i+1] == "check" {
		return 255
	}
	var socket string
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, BridgeEnv+"="); ok {
			socket = value
		}
	}
	if socket == "" {
		fmt.Fprintf(os.Stderr, "nixmesh: run as ssh without %s: this name is for nix only\n", BridgeEnv)
		return 255
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		fmt.Fprintf(os.Stderr, "nixmesh: no deployer at %s: %v\n", socket, err)
		return 255
	}
	defer conn.Close()
	bridge := conn.(*net.UnixConn)
	if _, err := io.WriteString(stdout, "started\n"); err != nil {
		return 255
	}
	// The process ends when the host's side does; a read of stdin that is
	// still waiting then ends with it.
	go func() {
		_, _ = io.Copy(bridge, stdin)
		_ = bridge.CloseWrite()
	}()
	if _, err := io.Copy(stdout, bridge); err != nil {
		return 255
	}
	return 0
}
