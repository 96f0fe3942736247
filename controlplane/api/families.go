package api

// Families is the table of all metrics, in the order in which they are written
// and documented.
func Families() []Family {
	const (
		agent = "Agent"
		host  = "Hosts, as this agent sees them"
		svc   = "Services"
		doc   = "Mesh configuration"
		cert  = "Certificates"
		goss  = "Gossip"
		sync  = "Exchange between agents"
		cat   = "Catalog"
		local = "Local API"
		proxy = "Envoy, as the agent tells it"
		envoy = "Envoy itself"
		guard = "The kernel's table"
		call  = "Calls of this host's services and gateways"
		serve = "Requests to this host's copies"
	)
	calls := []string{"caller", "upstream", "version"}
	served := []string{"service", "version"}
	with := func(labels []string, more string) []string { return append(labels[:len(labels):len(labels)], more) }
	return []Family{
		{agentInfo, Gauge, []string{"host", "version"}, "1, with the host and the version of its nixmesh.", agent},
		{agentStart, Gauge, nil, "When the agent started, in seconds since 1970.", agent},
		{agentReady, Gauge, nil, "1 when the agent serves from a mesh configuration.", agent},
		{agentStale, Gauge, nil, "1 while no other host was heard of since the start though the fleet has others.", agent},
		{agentFrozen, Gauge, nil, "1 while the minority guard holds: nobody is taken out.", agent},
		{agentProblems, Gauge, nil, "What a person should know of this agent: see nixmesh mesh status.", agent},
		{agentMemory, Gauge, nil, "Memory that the agent has of the system, in bytes.", agent},
		{agentGoroutines, Gauge, nil, "Goroutines of the agent.", agent},
		{AgentPanics, Counter, nil, "Inputs that made a part of the agent panic; each was set aside.", agent},
		{AgentQuarantined, Gauge, nil, "Inputs that are refused because they made the agent panic, or end, before.", agent},
		{AgentWrites, Counter, nil, "State files that were written.", agent},
		{AgentWriteErrors, Counter, nil, "State files that could not be written, a full disk for one.", agent},

		{hosts, Gauge, []string{"gossip"}, "Hosts of the mesh configuration by state of gossip: self, alive, suspect, dead, left, unknown.", host},
		{hostsApplied, Gauge, nil, "Hosts that act on the document that this agent acts on.", host},

		{services, Gauge, nil, "Services of the mesh configuration.", svc},
		{servicesReady, Gauge, nil, "Services all of whose copies are ready.", svc},
		{endpoints, Gauge, []string{"state"}, "Endpoints of all hosts by state: healthy, degraded, draining, unhealthy.", svc},
		{instanceCopies, Gauge, []string{"service", "version"}, "Copies of a service on this host.", svc},
		{instanceReady, Gauge, []string{"service", "version"}, "Copies of a service on this host that are healthy and take calls.", svc},
		{instanceHealthy, Gauge, []string{"service", "version"}, "1 when callers take a service on this host as healthy.", svc},
		{pending, Gauge, nil, "What only one of two says: the mesh configuration and a host.", svc},
		{overrides, Gauge, nil, "Overrides in force.", svc},

		{documentVersion, Gauge, nil, "Version of the mesh configuration that the agent acts on; 0 is none.", doc},
		{documentSince, Gauge, nil, "When the agent began to act on it, in seconds since 1970.", doc},
		{documentInfo, Gauge, []string{"hash"}, "1, with the first 12 digits of the document's hash.", doc},
		{documentOffered, Gauge, nil, "1 while the agent knows of a later document that it does not act on.", doc},

		{certificateExpiry, Gauge, []string{"kind", "name"}, "When a certificate of this host ends, in seconds since 1970; kind is leaf, authority or root.", cert},
		{certificateRenewal, Gauge, []string{"kind", "name"}, "When the next one is asked for, in seconds since 1970.", cert},
		{certificates, Gauge, []string{"kind", "level"}, "Certificates of this host by level: ok, warn, critical, expired, missing.", cert},
		{authorityIssued, Counter, nil, "Certificates that this host signed as an authority.", cert},
		{authorityRefused, Counter, nil, "Requests that this host refused as an authority.", cert},
		{authorityFailures, Gauge, []string{"authority"}, "Times in a row that an authority did not answer this host.", cert},

		{GossipMembers, Gauge, nil, "Members that take part, this host included.", goss},
		{GossipHealth, Gauge, nil, "What gossip thinks of this host's own health; 0 is well, each step stretches its probes by a second.", goss},
		{GossipSentPackets, Counter, nil, "Packets that were sent.", goss},
		{GossipReceivedPackets, Counter, nil, "Packets that were received.", goss},
		{GossipSentBytes, Counter, nil, "Bytes of packets and connections that were sent, encrypted.", goss},
		{GossipReceivedBytes, Counter, nil, "Bytes of packets and connections that were received, encrypted.", goss},
		{GossipRefused, Counter, []string{"reason"}, "Packets, connections and members that were refused.", goss},
		{GossipKnocks, Counter, nil, "Attempts to join a host that is not a member.", goss},
		{GossipKnocksFailed, Counter, nil, "Attempts to join that failed.", goss},
		{GossipHintsSent, Counter, nil, "Hints that were sent.", goss},
		{GossipHintsReceived, Counter, nil, "Hints that were received.", goss},
		{GossipHintsRepeated, Counter, nil, "Hints that had been heard before.", goss},
		{GossipHintsMissed, Counter, nil, "Hints that the agent did not take in time.", goss},
		{GossipHintsQueued, Gauge, nil, "Hints that wait to be sent.", goss},

		{SyncPeers, Gauge, nil, "Agents that are connected.", sync},
		{SyncExchanges, Counter, []string{"result"}, "Exchanges of digest and delta: ok or failed.", sync},
		{SyncPushes, Counter, nil, "Changes that were sent at once, counted per peer.", sync},
		{SyncCalls, Counter, []string{"result"}, "Requests to other agents: ok or failed.", sync},
		{SyncRefused, Counter, []string{"reason"}, "Connections and messages of other agents that were refused.", sync},
		{SyncSentBytes, Counter, nil, "Bytes that were sent to agents.", sync},
		{SyncReceivedBytes, Counter, nil, "Bytes that were received from agents.", sync},

		{CatalogRecords, Gauge, nil, "Records of all hosts, this one's included.", cat},
		{CatalogOwners, Gauge, []string{"state"}, "Hosts by how well their records are known: complete, partial, none.", cat},
		{CatalogGeneration, Counter, nil, "Changes of what the catalog shows.", cat},
		{CatalogMerged, Counter, nil, "Records of others that were taken.", cat},
		{CatalogRefused, Counter, nil, "Records of others that were refused.", cat},

		{ProxyConnected, Gauge, nil, "1 while Envoy is connected to the agent.", proxy},
		{ProxyListening, Gauge, nil, "1 when Envoy acknowledged its listeners.", proxy},
		{ProxySettled, Gauge, nil, "1 when Envoy acknowledged everything but what it refuses.", proxy},
		{ProxyPending, Gauge, nil, "Resources that are not acknowledged yet.", proxy},
		{ProxyRefused, Gauge, nil, "Resources that Envoy refuses; what acted before stays.", proxy},
		{ProxyProblems, Gauge, []string{"level"}, "What could not be computed as it was asked for: waiting comes by itself, standin has something else in its place, missing is left out.", proxy},
		{ProxyStrangers, Counter, nil, "Connections to Envoy's socket that were neither Envoy's nor root's.", proxy},
		{ProxyResources, Gauge, []string{"type"}, "Resources that Envoy is to have: secret, cluster, assignment, listener, route, extension.", proxy},
		{ProxySent, Counter, []string{"type"}, "Resources that were sent.", proxy},
		{ProxyRemoved, Counter, []string{"type"}, "Resources that were taken back.", proxy},
		{ProxySentBytes, Counter, []string{"type"}, "Bytes of resources that were sent.", proxy},
		{ProxyMessages, Counter, []string{"type"}, "Messages that were sent.", proxy},
		{ProxyAcks, Counter, []string{"type"}, "Messages that Envoy acknowledged.", proxy},
		{ProxyNacks, Counter, []string{"type"}, "Messages of which Envoy refused a part.", proxy},

		{GuardLoaded, Gauge, nil, "1 when the kernel's table of who may connect where is loaded.", guard},
		{GuardRestored, Counter, nil, "Times that somebody had changed or removed it.", guard},
		{GuardPackets, Counter, []string{"reason"}, "Packets that it refused: undeclared callers, app_denied past the mesh, egress_denied, squatted answers, outside; and plaintext, which it let through.", guard},

		{EnvoyUp, Gauge, nil, "1 when Envoy answered on its administration socket.", envoy},
		{EnvoyMemory, Gauge, nil, "Memory of Envoy's heap, in bytes.", envoy},
		{EnvoyUptime, Gauge, nil, "Seconds since Envoy's start.", envoy},
		{EnvoyConnections, Gauge, nil, "Connections to Envoy's listeners that are open.", envoy},
		{EnvoyTurnedAway, Counter, []string{"reason"}, "Connections that were turned away: identity, certificate, no_certificate, tls, unknown_name, overflow.", envoy},

		{CallRequests, Counter, with(calls, "code"), "Requests that were answered, by class of status: 2xx, 5xx.", call},
		{CallRequestsActive, Gauge, calls, "Requests that wait for their answer.", call},
		{CallDuration, Histogram, calls, "How long answers took.", call},
		{CallFailures, Counter, with(calls, "reason"), "Failed tries: connect, reset, timeout, none_healthy, overflow of a bound, identity or certificate of who answers, tls.", call},
		{CallRetries, Counter, calls, "Requests that were tried again.", call},
		{CallConnections, Counter, calls, "Connections that were opened.", call},
		{CallOpen, Gauge, calls, "Connections that are open.", call},
		{CallSentBytes, Counter, calls, "Bytes that were sent.", call},
		{CallReceivedBytes, Counter, calls, "Bytes that were received.", call},
		{CallEndpoints, Gauge, with(calls, "state"), "Endpoints that may be called: all, and of them healthy, degraded, and ejected for failing.", call},

		{ServedRequests, Counter, with(served, "code"), "Requests that this host's copies answered, by class of status.", serve},
		{ServedRequestsActive, Gauge, served, "Requests that wait for their answer.", serve},
		{ServedDuration, Histogram, served, "How long answers took.", serve},
		{ServedFailures, Counter, with(served, "reason"), "Failed tries: connect, reset, timeout, none_healthy, overflow.", serve},
		{ServedConnections, Counter, served, "Connections that were opened to the copies.", serve},
		{ServedOpen, Gauge, served, "Connections that are open.", serve},
		{ServedSentBytes, Counter, served, "Bytes that were sent to the copies.", serve},
		{ServedReceivedBytes, Counter, served, "Bytes that were received from them.", serve},
		{ServedDenied, Counter, with(served, "shadow"), "Requests that the service's rules refuse, or with shadow=\"yes\" would refuse.", serve},

		{apiRequests, Counter, []string{"path", "code"}, "Requests by path and status.", local},
		{apiConnections, Gauge, nil, "Connections that are open.", local},
		{apiTurnedAway, Counter, nil, "Connections that were one too many.", local},
		{apiWatches, Gauge, nil, "Watches that are open.", local},
		{apiWatchLost, Counter, nil, "Events that a watch missed because it was not read.", local},
		{apiPanics, Counter, nil, "Requests that made the agent panic.", local},
	}
}
