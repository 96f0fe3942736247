package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/nixmesh/nixmesh/controlplane/api"
)

// Sockets in the runtime folder: of the local API, and of this host's Envoy.
const (
	socketName      = "api.sock"
	proxySocketName = "xds.sock"
)

// serve opens the sockets, and serves the local API. Envoy is served once there is
// what it is to be told.
func (a *Agent) serve(ctx context.Context) error {
	inner, err := a.listen(ctx, proxySocketName, a.opts.ProxyListener)
	if err != nil {
		return err
	}
	if inner != nil {
		a.proxy.door = newDoor(inner, a.logger, a.proxy.uids, a.proxy.doorFailed)
	}
	listener, err := a.listen(ctx, socketName, a.opts.Listener)
	if err != nil {
		a.proxy.close()
	}
	if err != nil || listener == nil {
		return err
	}
	a.server, err = api.New(api.Options{Source: a, Listener: listener, Metrics: a.scrape, Logger: a.logger})
	if err == nil {
		err = a.server.Start(ctx)
	}
	if err != nil {
		a.proxy.close()
		return errors.Join(fmt.Errorf("serve API: %w", err), listener.Close())
	}
	return nil
}

// listen opens a socket unless it was passed, nil where there shall be none. One
// that an agent before this one left behind is in nobody's way: there is one agent
// on a host.
func (a *Agent) listen(ctx context.Context, name string, passed net.Listener) (net.Listener, error) {
	if passed != nil || a.opts.RuntimeDir == "" {
		return passed, nil
	}
	path := filepath.Join(a.opts.RuntimeDir, name)
	if err := os.MkdirAll(a.opts.RuntimeDir, 0o755); err != nil {
		return nil, fmt.Errorf("make folder of the socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove old socket: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil { // of the agent's group
		return nil, errors.Join(fmt.Errorf("open socket: %w", err), listener.Close())
	}
	return listener, nil
}

// openMetrics lets machines scrape where the facts of this host say so.
func (a *Agent) openMetrics() {
	at := netip.AddrPort{}
	if own := a.fleet.address(); a.server != nil && a.facts.now.Mesh != nil && a.facts.now.Mesh.Metrics && own.IsValid() {
		at = netip.AddrPortFrom(own, MetricsPort)
	}
	a.problems.check("metrics", a.scrape.set(at), "ss -ltnp sport = :"+fmt.Sprint(MetricsPort))
}
