package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/controlplane"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/gossip"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/trust"
)

type agentOptions struct {
	hostFile, state, runtime, revoked string
	nodeKey, nodeCert, gossipKey      string
	cgroups, log                      string
}

// newAgentCmd is what a host's nixmesh-agent.service runs.
func newAgentCmd(a *app) *cobra.Command {
	var o agentOptions
	cmd := &cobra.Command{
		Use: "agent", Short: "Be a host's part of the mesh (run by its nixmesh-agent.service)", Hidden: true, Args: cobra.NoArgs,
		Example: `  nixmesh agent --host-file host.json --state ./state --runtime ./run \
    --node-key node.key --node-cert node.cert --gossip-key gossip.key       by hand`,
		Long: `Be this host's part of the mesh: take part in gossip, exchange what is known, check the
services of this host, hold their certificates, and answer on api.sock. It runs until SIGTERM.

Files that are not given come from $CREDENTIALS_DIRECTORY, the state from $STATE_DIRECTORY, and
the sockets from systemd, if it has some for this process, named api and xds.

EXIT STATUS
  0   stopped as told
  1   it could not start`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runAgent(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.hostFile, "host-file", hostfacts.Path, "what this host knows of itself")
	f.StringVar(&o.state, "state", a.getenv("STATE_DIRECTORY"), "`folder` for what the agent keeps")
	f.StringVar(&o.runtime, "runtime", "/run/nixmesh", "`folder` for api.sock and xds.sock, where systemd gives none")
	f.StringVar(&o.revoked, "revoked", hostfacts.RevokedPath, "keys of operators that were removed")
	f.StringVar(&o.nodeKey, "node-key", credential(a, trust.NodeKeyFile), "this host's node key")
	f.StringVar(&o.nodeCert, "node-cert", credential(a, trust.NodeCertFile), "the certificate of that key")
	f.StringVar(&o.gossipKey, "gossip-key", credential(a, "gossip.key"), "keys of gossip, one a line in base64, the first encrypts")
	f.StringVar(&o.cgroups, "cgroups", "/sys/fs/cgroup", "where cgroups are; \"\" takes every unit to run")
	f.StringVar(&o.log, "log", "text", "form of the log on stderr: text or json")
	cmd.AddCommand(newAgentConnectCmd(a), newAgentEnvoyCmd(a))
	return cmd
}

// credential is the file that systemd keeps for this unit, "" outside of one.
func credential(a *app, name string) string {
	if dir := a.getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		return filepath.Join(dir, name)
	}
	return ""
}

func runAgent(ctx context.Context, a *app, o agentOptions) error {
	quiet := func(string) {} // what a deploy says about a signal
	a.note.Store(&quiet)
	logger, err := agentLogger(a, o.log)
	if err != nil {
		return err
	}
	options, err := o.load(a, logger)
	if err != nil {
		return err
	}
	passed, err := passedListeners(a)
	if err != nil {
		return err
	}
	options.Listener, options.ProxyListener = passed["api"], passed["xds"]
	options.Notify = notifier(a, logger)
	options.Failed = watchFailure(o.state, logger)
	agent, err := controlplane.New(options)
	if err != nil {
		return err
	}
	return agent.Run(ctx)
}

// load reads the keys. What is missing is told by the flag that names it.
func (o agentOptions) load(a *app, logger *slog.Logger) (controlplane.Options, error) {
	if o.state == "" {
		return controlplane.Options{}, usageErrorf("there is no folder for the agent's state: --state, or $STATE_DIRECTORY")
	}
	key, err := readFlagFile("node-key", o.nodeKey, trust.ParseNodeKey)
	if err != nil {
		return controlplane.Options{}, err
	}
	cert, err := readFlagFile("node-cert", o.nodeCert, trust.ParseNodeCert)
	if err != nil {
		return controlplane.Options{}, err
	}
	// Without a gossip key the agent runs on, and says what is missing: who is
	// locked out of gossip gets the key from an authority.
	keys, err := readFlagFile("gossip-key", o.gossipKey, gossip.ParseKeys)
	if err != nil {
		logger.Error("no gossip key", "err", err)
	}
	clock, err := agentClock(a)
	if err != nil {
		return controlplane.Options{}, err
	}
	protocols, err := agentProtocols(a)
	if err != nil {
		return controlplane.Options{}, err
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // empty is: not known
	return controlplane.Options{
		HostFile: o.hostFile, StateDir: o.state, RuntimeDir: o.runtime, RevokedFile: o.revoked,
		NodeKey: key, NodeCert: cert, GossipKeys: keys, Version: version, Clock: clock, Logger: logger,
		Protocols: protocols, Cgroups: o.cgroups, Boot: string(bytes.TrimSpace(boot)),
	}, nil
}

func readFlagFile[T any](flag, file string, parse func([]byte) (T, error)) (value T, err error) {
	if file == "" {
		return value, usageErrorf("--%s is missing, and there is no $CREDENTIALS_DIRECTORY", flag)
	}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return value, fmt.Errorf("%w\nNext: systemctl status nixmesh-nodekey nixmesh-unseal", err)
	}
	if err == nil {
		value, err = parse(content)
	}
	if err != nil {
		return value, fmt.Errorf("read --%s: %w", flag, err)
	}
	return value, nil
}

func agentLogger(a *app, form string) (*slog.Logger, error) {
	options := &slog.HandlerOptions{}
	if a.verbose {
		options.Level = slog.LevelDebug
	}
	switch form {
	case "json":
		return slog.New(slog.NewJSONHandler(a.stderr, options)), nil
	case "text":
		if a.getenv("JOURNAL_STREAM") != "" { // the journal has the time
			options.ReplaceAttr = func(groups []string, attr slog.Attr) slog.Attr {
				if len(groups) == 0 && attr.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return attr
			}
		}
		return slog.New(slog.NewTextHandler(a.stderr, options)), nil
	}
	return nil, usageErrorf("log form %q is unknown: text or json", form)
}

// movedClock is the machine's clock, off by something.
type movedClock time.Duration

func (c movedClock) Now() time.Time { return time.Now().Add(time.Duration(c)) }

// agentClock is the machine's, unless a test moved it.
func agentClock(a *app) (controlplane.Clock, error) {
	offset, err := time.ParseDuration(defaultString(a.getenv("NIXMESH_DEBUG_CLOCK_OFFSET"), "0s"))
	if err != nil {
		return nil, fmt.Errorf("NIXMESH_DEBUG_CLOCK_OFFSET: %w", err)
	}
	return movedClock(offset), nil
}

// agentProtocols are those of this release, the zero value, unless a test wants
// an agent of another one.
func agentProtocols(a *app) (p catalog.Protocols, err error) {
	text := a.getenv("NIXMESH_DEBUG_PROTOCOLS")
	if text == "" {
		return p, nil
	}
	if _, err := fmt.Sscanf(text, "%d-%d", &p.Min, &p.Max); err != nil {
		return p, fmt.Errorf("NIXMESH_DEBUG_PROTOCOLS: %w", err)
	}
	return p, nil
}
