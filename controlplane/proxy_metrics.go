package controlplane

import (
	"context"
	"strings"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/api"
	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// metrics are those of this host's Envoy: what the agent has told it, and as far as
// it answers what it counts itself.
func (p *proxy) metrics(ctx context.Context) []api.Metric {
	if p.envoy() == nil {
		return nil
	}
	list := p.ownMetrics()
	text, err := p.admin.get(ctx, "/stats/prometheus?usedonly")
	list = append(list, metric(api.EnvoyUp, truth(err == nil)))
	if err != nil {
		return list
	}
	return append(list, envoyMetrics(text)...)
}

func (p *proxy) ownMetrics() []api.Metric {
	s := p.server.Status()
	p.mu.Lock()
	resources, problems := map[xds.Type]int{}, map[string]int{}
	for key := range p.set {
		resources[key.Type]++
	}
	for _, one := range p.found {
		problems[one.Level]++
	}
	p.mu.Unlock()
	strangers, _ := p.door.turnedAway()
	list := []api.Metric{
		metric(api.ProxyConnected, truth(s.Connected)),
		metric(api.ProxyListening, truth(s.ListenersAcked)),
		metric(api.ProxySettled, truth(s.Settled)),
		metric(api.ProxyPending, s.Pending),
		metric(api.ProxyRefused, len(s.Refused)),
		metric(api.ProxyStrangers, strangers),
	}
	for _, t := range xds.Types() {
		counts, name := s.Types[t], typeName(t)
		list = append(list,
			labelled(api.ProxyResources, "type", name, resources[t]),
			labelled(api.ProxySent, "type", name, counts.Resources),
			labelled(api.ProxyRemoved, "type", name, counts.Removals),
			labelled(api.ProxySentBytes, "type", name, counts.Bytes),
			labelled(api.ProxyMessages, "type", name, counts.Sent),
			labelled(api.ProxyAcks, "type", name, counts.Acked),
			labelled(api.ProxyNacks, "type", name, counts.Nacked),
		)
	}
	for _, level := range []string{agentapi.ProxyWaiting, agentapi.ProxyStandin, agentapi.ProxyMissing} {
		list = append(list, labelled(api.ProxyProblems, "level", level, problems[level]))
	}
	return list
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// counted is where a value of Envoy's goes.
type counted struct {
	name  api.Name
	label string // one more label, "" = none
	value string // of it, or in its place the name of Envoy's label after "="
	milli bool   // Envoy has milliseconds where the metric has seconds
}

// callCounts are what Envoy counts of a cluster, by the name after
// "envoy_cluster_". Those of calls and of the copies on this host are named alike,
// after their prefix.
var callCounts = map[string]counted{
	"upstream_rq_xx":                     {name: "_requests_total", label: "code", value: "=envoy_response_code_class"},
	"upstream_rq_time":                   {name: "_duration_seconds", milli: true},
	"upstream_rq_active":                 {name: "_requests_active"},
	"upstream_rq_timeout":                {name: "_failures_total", label: "reason", value: "timeout"},
	"upstream_rq_pending_overflow":       {name: "_failures_total", label: "reason", value: "overflow"},
	"upstream_cx_connect_fail":           {name: "_failures_total", label: "reason", value: "connect"},
	"upstream_cx_none_healthy":           {name: "_failures_total", label: "reason", value: "none_healthy"},
	"upstream_rq_rx_reset":               {name: "_failures_total", label: "reason", value: "reset"},
	"ssl_connection_error":               {name: "_failures_total", label: "reason", value: "tls"},
	"ssl_fail_verify_san":                {name: "_failures_total", label: "reason", value: "identity"},
	"ssl_fail_verify_error":              {name: "_failures_total", label: "reason", value: "certificate"},
	"upstream_rq_retry":                  {name: "_retries_total"},
	"upstream_cx_total":                  {name: "_connections_total"},
	"upstream_cx_active":                 {name: "_connections_active"},
	"upstream_cx_tx_bytes_total":         {name: "_sent_bytes_total"},
	"upstream_cx_rx_bytes_total":         {name: "_received_bytes_total"},
	"membership_healthy":                 {name: "_endpoints", label: "state", value: "healthy"},
	"membership_degraded":                {name: "_endpoints", label: "state", value: "degraded"},
	"membership_total":                   {name: "_endpoints", label: "state", value: "all"},
	"outlier_detection_ejections_active": {name: "_endpoints", label: "state", value: "ejected"},
}

// serverCounts are what Envoy counts besides, by the whole name.
var serverCounts = map[string]counted{
	"envoy_server_memory_physical_size":      {name: api.EnvoyMemory},
	"envoy_server_uptime":                    {name: api.EnvoyUptime},
	"envoy_listener_downstream_cx_active":    {name: api.EnvoyConnections},
	"envoy_listener_ssl_fail_verify_san":     {name: api.EnvoyTurnedAway, label: "reason", value: "identity"},
	"envoy_listener_ssl_fail_verify_error":   {name: api.EnvoyTurnedAway, label: "reason", value: "certificate"},
	"envoy_listener_ssl_fail_verify_no_cert": {name: api.EnvoyTurnedAway, label: "reason", value: "no_certificate"},
	"envoy_listener_ssl_connection_error":    {name: api.EnvoyTurnedAway, label: "reason", value: "tls"},
	"envoy_listener_no_filter_chain_match":   {name: api.EnvoyTurnedAway, label: "reason", value: "unknown_name"},
	"envoy_listener_downstream_cx_overflow":  {name: api.EnvoyTurnedAway, label: "reason", value: "overflow"},
	"envoy_http_rbac_denied":                 {name: api.ServedDenied, label: "shadow", value: "no"},
	"envoy_http_rbac_shadow_denied":          {name: api.ServedDenied, label: "shadow", value: "yes"},
}

// maxEnvoyMetrics bounds what is handed on of Envoy's: a host of 20 services that
// call 10 each has some 8,000.
const maxEnvoyMetrics = 50_000

// envoyMetrics reads what Envoy counts, for Prometheus, and gives what has a
// meaning in the mesh under its names. Counts of one name and labels add up.
func envoyMetrics(text []byte) []api.Metric {
	var list []api.Metric
	at := map[string]int{} // index, by name and labels
	for row := range strings.Lines(string(text)) {
		m, ok := envoyMetric(strings.TrimSuffix(row, "\n"))
		if !ok {
			continue
		}
		key := string(m.Name)
		for _, l := range m.Labels {
			key += "\x00" + l.Value
		}
		if i, known := at[key]; known {
			list[i].Value += m.Value
			continue
		}
		if len(list) == maxEnvoyMetrics {
			break
		}
		at[key] = len(list)
		list = append(list, m)
	}
	return list
}
