package controlplane

import (
	"maps"
	"slices"

	"github.com/nixmesh/nixmesh/controlplane/api"
	"github.com/nixmesh/nixmesh/controlplane/gossip"
	"github.com/nixmesh/nixmesh/controlplane/sync"
)

func metric[N int | uint64](name api.Name, value N) api.Metric {
	return api.Metric{Name: name, Value: float64(value)}
}

func labelled[N int | uint64](name api.Name, label, text string, value N) api.Metric {
	return api.Metric{Name: name, Labels: []api.Label{{Name: label, Value: text}}, Value: float64(value)}
}

func (a *Agent) ownMetrics() []api.Metric {
	writes, failed := a.files.counts()
	return []api.Metric{
		metric(api.AgentPanics, a.poison.survived()),
		metric(api.AgentQuarantined, a.poison.count()),
		metric(api.AgentWrites, writes),
		metric(api.AgentWriteErrors, failed),
	}
}

func gossipMetrics(s gossip.Stats) []api.Metric {
	list := []api.Metric{
		metric(api.GossipMembers, s.Alive),
		metric(api.GossipHealth, s.Health),
		metric(api.GossipSentPackets, s.SentPackets),
		metric(api.GossipReceivedPackets, s.ReceivedPackets),
		metric(api.GossipSentBytes, s.SentBytes),
		metric(api.GossipReceivedBytes, s.ReceivedBytes),
		metric(api.GossipKnocks, s.Knocks),
		metric(api.GossipKnocksFailed, s.KnocksFailed),
		metric(api.GossipHintsSent, s.HintsSent),
		metric(api.GossipHintsReceived, s.HintsReceived),
		metric(api.GossipHintsRepeated, s.HintsRepeated),
		metric(api.GossipHintsMissed, s.HintsMissed),
		metric(api.GossipHintsQueued, s.HintsQueued),
	}
	for _, reason := range slices.Sorted(maps.Keys(s.Refused)) {
		list = append(list, labelled(api.GossipRefused, "reason", string(reason), s.Refused[reason]))
	}
	return list
}

func syncMetrics(s sync.Stats) []api.Metric {
	list := []api.Metric{
		metric(api.SyncPeers, s.Connected),
		labelled(api.SyncExchanges, "result", "ok", s.Exchanges),
		labelled(api.SyncExchanges, "result", "failed", s.ExchangesFailed),
		metric(api.SyncPushes, s.Pushes),
		labelled(api.SyncCalls, "result", "ok", s.Calls),
		metric(api.SyncSentBytes, s.SentBytes),
		metric(api.SyncReceivedBytes, s.ReceivedBytes),
	}
	for _, reason := range slices.Sorted(maps.Keys(s.Refused)) {
		list = append(list, labelled(api.SyncRefused, "reason", string(reason), s.Refused[reason]))
	}
	return list
}
