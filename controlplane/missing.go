package controlplane

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

const (
	nodesAtOnce  = 512 // certificates that are asked for at once
	nodesTimeout = 10 * time.Second
)

// missing are hosts whose node certificate is needed, each with who spoke of it.
type missing struct {
	wake chan struct{}

	mu    sync.Mutex // guards what follows
	hosts map[string]string
}

func (m *missing) add(from, host string) {
	m.mu.Lock()
	m.hosts[host] = from
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take is who has to be asked for what.
func (m *missing) take() map[string][]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	byPeer := map[string][]string{}
	for host, from := range m.hosts {
		byPeer[from] = append(byPeer[from], host)
	}
	clear(m.hosts)
	return byPeer
}

// nodesLoop asks peers for the certificates of hosts of which they told.
func (a *Agent) nodesLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.missing.wake:
		}
		for from, hosts := range a.missing.take() {
			slices.Sort(hosts)
			for some := range slices.Chunk(hosts, nodesAtOnce) {
				a.fetchNodes(ctx, from, some)
			}
		}
	}
}

func (a *Agent) fetchNodes(ctx context.Context, from string, hosts []string) {
	body, err := json.Marshal(hosts)
	if err != nil {
		panic("encode names of hosts: " + err.Error()) // texts always can be
	}
	answer, err := a.call(ctx, nodesTimeout, from, methodNodes, body)
	var texts []string
	if err == nil {
		err = json.Unmarshal(answer, &texts)
	}
	if err != nil {
		a.logger.Info("node certificates not fetched", "from", from, "hosts", len(hosts), "err", err)
		return // the next exchange asks again
	}
	good, err := a.nodes.admitAll(texts[:min(len(texts), nodesAtOnce)])
	if err != nil {
		a.logger.Warn("node certificates refused", "from", from, "err", err)
	}
	if good > 0 {
		a.nudge(from)
	}
}
