package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/mesh"
)

// elsewhere parts the versions of services on this host into those that another
// host has ready, too, and those that would be nowhere.
func (a *Agent) elsewhere() (leaving, staying []string) {
	a.live.look(func(c *catalog.Catalog, config *mesh.Config, now time.Time) {
		if config == nil {
			return
		}
		for name := range config.Services {
			here, there := map[string]bool{}, map[string]bool{}
			for _, e := range c.Endpoints(now, config, name) {
				switch {
				case e.Host == a.host:
					here[e.Version] = true
				case e.State == catalog.StateHealthy || e.State == catalog.StateDegraded:
					there[e.Version] = true
				}
			}
			for version := range here {
				if there[version] {
					leaving = append(leaving, placed(name, version))
				} else {
					staying = append(staying, placed(name, version))
				}
			}
		}
	})
	slices.Sort(leaving)
	slices.Sort(staying)
	return leaving, staying
}

// saidDrain waits until the records of this host say what leaves, and gives the
// stamp of the newest.
func (a *Agent) saidDrain(ctx context.Context, leaving []string) catalog.Stamp {
	var stamp catalog.Stamp
	_ = await(ctx, a.opts.bounds.drainSaid, func() bool {
		said := true
		a.live.look(func(c *catalog.Catalog, _ *mesh.Config, _ time.Time) {
			for _, one := range leaving {
				name, version, _ := strings.Cut(one, "@")
				record := c.Record(a.host, catalog.Key{Kind: catalog.KindService, Name: name})
				if record == nil || record.Service() == nil {
					continue // it went away
				}
				for _, i := range record.Service().Instances {
					said = said && (i.Version != version || i.Draining)
				}
			}
			status, _ := c.Status(a.host)
			stamp = status.Stamp
		})
		return said
	})
	return stamp
}

// tellDrain asks the other hosts whether their Envoys know. Those that gossip says
// are dead are not waited for.
func (a *Agent) tellDrain(ctx context.Context, config *mesh.Config, stamp catalog.Stamp) (told, silent []string) {
	exchange := a.fleet.sync.Load()
	if exchange == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, a.opts.bounds.drainTold)
	defer cancel()
	members := a.members()
	var mu sync.Mutex // guards told and silent
	var asked sync.WaitGroup
	for host := range config.Hosts {
		if m, known := members[host]; host == a.host || known && (string(m.State) == agentapi.GossipDead || string(m.State) == agentapi.GossipLeft) {
			continue
		}
		asked.Go(func() {
			_, err := exchange.Call(ctx, host, methodKnows, fmt.Appendf(nil, "%d %d", stamp.Epoch, stamp.Seq))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				a.logger.Warn("a host may not know that this one is draining", "asked", host, "err", err)
				silent = append(silent, host)
				return
			}
			told = append(told, host)
		})
	}
	asked.Wait()
	slices.Sort(told)
	slices.Sort(silent)
	return told, silent
}

// serveKnows answers when this host's Envoy acts on what the asking host said of
// itself, up to a stamp.
func (a *Agent) serveKnows(ctx context.Context, from string, body []byte) ([]byte, error) {
	var stamp catalog.Stamp
	if _, err := fmt.Sscanf(string(body), "%d %d", &stamp.Epoch, &stamp.Seq); err != nil {
		return nil, fmt.Errorf("read stamp: %w", err)
	}
	err := await(ctx, a.opts.bounds.drainTold, func() bool {
		known := false
		a.live.look(func(c *catalog.Catalog, _ *mesh.Config, _ time.Time) {
			s, _ := c.Status(from)
			known = s.Epoch > stamp.Epoch || s.Epoch == stamp.Epoch && s.Seq >= stamp.Seq
		})
		return known && a.proxy.caughtUp()
	})
	if err != nil {
		return nil, errors.New("this host's Envoy has not acknowledged it yet")
	}
	return []byte("known"), nil
}

// caughtUp says whether Envoy acknowledged all that follows from what is known now.
// One that is not connected may run, and call whom it was told of last.
func (p *proxy) caughtUp() bool {
	if p.envoy() == nil || p.door == nil {
		return true
	}
	p.mu.Lock()
	noted := p.whole || len(p.services)+len(p.hosts) > 0 || p.working
	p.mu.Unlock()
	s := p.server.Status()
	return s.Connected && !noted && s.Pending == 0
}
