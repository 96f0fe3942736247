package controlplane

import (
	"fmt"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

// tellHost tells watchers what gossip says of a host.
func (a *Agent) tellHost(host, state, detail string) {
	a.watchers.tell(agentapi.Event{Time: a.opts.Clock.Now(), Kind: agentapi.EventHost, Host: host, State: state, Detail: detail})
}

// tellCert tells watchers what happened to a service's certificate.
func (a *Agent) tellCert(service, detail string) {
	a.watchers.tell(agentapi.Event{Time: a.opts.Clock.Now(), Kind: agentapi.EventCert, Host: a.host, Service: service, Detail: detail})
}

// tellChange tells watchers what changed in the catalog, under its lock.
func (a *Agent) tellChange(change catalog.Change) {
	c, now := a.live.catalog, a.opts.Clock.Now()
	switch change.What {
	case catalog.HostChanged:
		if h := c.Host(change.Host); h != nil && h.Document.Version != 0 {
			a.watchers.tell(agentapi.Event{
				Time: now, Kind: agentapi.EventApplied, Host: change.Host, State: fmt.Sprint(h.Document.Version),
				Detail: fmt.Sprintf("version %d (%.6x)", h.Document.Version, h.Document.Hash),
			})
		}
	case catalog.ServiceChanged:
		a.tellService(now, change.Host, change.Name)
	case catalog.StandingChanged:
		status, _ := c.Status(change.Host)
		a.watchers.tell(agentapi.Event{Time: now, Kind: agentapi.EventHost, Host: change.Host, Detail: "its endpoints count as " + standing(status.Standing)})
	case catalog.OverrideChanged:
		e := agentapi.Event{Time: now, Kind: agentapi.EventOverride, State: "over", Detail: change.Name}
		if config := a.live.config; config != nil {
			if o, ok := c.Override(now, change.Name, catalog.Splits(config)); ok {
				e.State, e.Detail = "in force", fmt.Sprintf("%s by %s: %s", change.Name, o.Stamp.Writer, line(string(o.Value), 200))
			}
		}
		a.watchers.tell(e)
	}
}

func (a *Agent) tellService(now time.Time, host, service string) {
	config := a.live.config
	if config == nil || config.Services[service] == nil {
		return
	}
	s := config.Services[service]
	for i := range s.Versions {
		version := s.Versions[i].Name
		e, ok := a.live.catalog.Endpoint(now, config, service, version, host)
		event := agentapi.Event{Time: now, Kind: agentapi.EventService, Host: host, Service: service, Version: version}
		switch {
		case ok:
			event.State, event.Detail = e.State.String(), fmt.Sprintf("%d of %d ready", e.Ready, e.Copies)
			if e.Reason != "" {
				event.Detail += ": " + e.Reason
			}
		case slices.Contains(s.Versions[i].Hosts, host):
			event.State = "gone"
		default:
			continue
		}
		a.watchers.tell(event)
	}
}

// standing is a standing as the local API has it.
func standing(s catalog.Standing) string {
	switch s {
	case catalog.Up:
		return "up"
	case catalog.Frozen:
		return "frozen"
	case catalog.Doubtful:
		return "doubtful"
	default:
		return "down"
	}
}
