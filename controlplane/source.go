package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/api"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/mesh"
)

// The agent answers for the local API.
var _ api.Source = (*Agent)(nil)

// Document is the signed document of a configuration's hash, "" being the one in
// force.
func (a *Agent) Document(config string) ([]byte, bool) {
	if live := a.documents.live.Load(); live != nil && (config == "" || live.config == config) {
		return live.document.Canonical(), true
	}
	if config == "" {
		return nil, false
	}
	text := a.documents.shelf.find(func(d shelved) bool { return d.config == config })
	return text, text != nil
}

// Apply takes a signed document.
func (a *Agent) Apply(_ context.Context, document []byte, by api.Peer) agentapi.Applied {
	a.logger.Info("mesh document was brought", "uid", by.UID, "pid", by.PID, "bytes", len(document))
	return a.documents.put(document)
}

// Override takes a signed override.
func (a *Agent) Override(_ context.Context, override []byte, by api.Peer) error {
	err := a.poison.guard("override", func() []byte { return override }, func() error {
		o, err := catalog.DecodeOverride(override)
		if err != nil {
			return err
		}
		return a.live.do(true, func(c *catalog.Catalog, now time.Time) error { return c.SetOverride(now, o) })
	})
	a.logger.Info("override was brought", "uid", by.UID, "pid", by.PID, "err", err)
	return err
}

// AuthorityRequest is the request for this host's next intermediate.
func (a *Agent) AuthorityRequest() (agentapi.AuthorityRequest, error) {
	live := a.documents.live.Load()
	if live == nil {
		return agentapi.AuthorityRequest{}, errNoDocument
	}
	if !isAuthority(live.document.Config, a.host) {
		return agentapi.AuthorityRequest{}, fmt.Errorf("the mesh configuration does not name %s as an authority", a.host)
	}
	request, err := a.certificates.issuer.Request()
	if err != nil {
		return agentapi.AuthorityRequest{}, err
	}
	return agentapi.AuthorityRequest{Host: a.host, Request: string(request)}, nil
}

// InstallAuthority takes the intermediate that answers the request.
func (a *Agent) InstallAuthority(pem []byte) error {
	return a.poison.guard("intermediate", func() []byte { return pem }, func() error { return a.certificates.issuer.Install(pem) })
}

var errNoDocument = errors.New("there is no mesh configuration yet")

// Ready is nil when the agent serves from a mesh configuration, and this host's
// Envoy, where it has one, listens as it was told.
func (a *Agent) Ready() error {
	if a.documents.live.Load() == nil {
		return errNoDocument
	}
	return a.proxy.ready()
}

// Events begins a watch.
func (a *Agent) Events() (events <-chan agentapi.Event, stop func()) { return a.watchers.watch() }

// Metrics are those of the agent's parts.
func (a *Agent) Metrics(ctx context.Context) []api.Metric {
	list := append(a.ownMetrics(), a.proxy.metrics(ctx)...)
	list = append(list, a.guarded.metrics()...)
	if g := a.fleet.gossip.Load(); g != nil {
		list = append(list, gossipMetrics(g.Stats())...)
	}
	if s := a.fleet.sync.Load(); s != nil {
		list = append(list, syncMetrics(s.Stats())...)
	}
	return append(list, a.catalogMetrics()...)
}

// oneLine says how the agent is, for the service manager's status.
func (a *Agent) oneLine() string {
	live := a.documents.live.Load()
	if live == nil {
		return "no mesh configuration yet"
	}
	here := 1
	if g := a.fleet.gossip.Load(); g != nil {
		here = g.Stats().Alive
	}
	return fmt.Sprintf("version %d, %d of %d hosts, %d problems", live.link.Version, here, len(live.document.Config.Hosts), a.problems.count())
}

// catalogMetrics counts what is known of the fleet.
func (a *Agent) catalogMetrics() []api.Metric {
	owners := map[string]int{"complete": 0, "partial": 0, "none": 0}
	records := 0
	var generation catalog.Generation
	a.live.look(func(c *catalog.Catalog, config *mesh.Config, _ time.Time) {
		generation = c.Generation()
		if config == nil {
			return
		}
		for name := range config.Hosts {
			status, _ := c.Status(name)
			records += status.Records
			switch {
			case status.Complete:
				owners["complete"]++
			case status.Records > 0:
				owners["partial"]++
			default:
				owners["none"]++
			}
		}
	})
	merged, refused := a.live.counts()
	list := []api.Metric{
		{Name: api.CatalogRecords, Value: float64(records)},
		{Name: api.CatalogGeneration, Value: float64(generation)},
		{Name: api.CatalogMerged, Value: float64(merged)},
		{Name: api.CatalogRefused, Value: float64(refused)},
	}
	for _, state := range []string{"complete", "partial", "none"} {
		list = append(list, api.Metric{Name: api.CatalogOwners, Labels: []api.Label{{Name: "state", Value: state}}, Value: float64(owners[state])})
	}
	return list
}
