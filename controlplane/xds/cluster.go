package xds

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	aggregatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// failoverCluster is an upstreamCluster and, after it, those of the services that
// its caller fails over to.
func failoverCluster(caller, edge, version string) string {
	return "f:" + caller + ":" + edge + at(version)
}

// callCluster is the cluster that routes and listeners name for a version of a
// call's upstream. What is not HTTP has one for all versions, "".
func (b *builder) callCluster(c call, version string) string {
	if c.service != nil && len(b.failover(c)) > 0 {
		return failoverCluster(c.caller, c.edge, version)
	}
	return upstreamCluster(c.caller, c.edge, version)
}

// serviceClusters builds the clusters of a call to a service. Versions without a
// share have one, too, so that a shift to them changes shares and nothing else.
func (b *builder) serviceClusters(c call) {
	versions := c.versions()
	if !c.isHTTP() {
		b.tcpCluster(c, versions)
		b.failoverClusters(c, "")
		return
	}
	for _, version := range versions {
		cluster := b.edsCluster(c, version)
		socket, secrets := b.clientTLS(c.caller, c.upstream, b.serverName(c, version), alpnHTTP)
		cluster.TransportSocket = socket
		speak(cluster, true, idleClient)
		b.addCluster(c, cluster, append(secrets, Key{Assignment, assignmentName(c.caller, c.edge, version)}))
		b.failoverClusters(c, version)
	}
}

// tcpCluster has the endpoints of all versions. Each asks for its own version by
// its server name.
func (b *builder) tcpCluster(c call, versions []string) {
	cluster := b.edsCluster(c, "")
	socket, secrets := b.clientTLS(c.caller, c.upstream, b.serverName(c, versions[0]), alpnTCP)
	cluster.TransportSocket = socket
	if hasVersions(versions) {
		for _, version := range versions {
			socket, _ := b.clientTLS(c.caller, c.upstream, b.serverName(c, version), alpnTCP)
			cluster.TransportSocketMatches = append(cluster.TransportSocketMatches, &clusterv3.Cluster_TransportSocketMatch{
				Name: "version" + at(version), Match: versionMatch(version), TransportSocket: socket,
			})
		}
	}
	b.addCluster(c, cluster, append(secrets, Key{Assignment, assignmentName(c.caller, c.edge, "")}))
}

// hasVersions says whether a service's versions have names.
func hasVersions(versions []string) bool { return len(versions) > 1 || versions[0] != "" }

// versionMatch is what an endpoint of a version says of itself, and the TLS for it
// asks for.
func versionMatch(version string) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{"version": structpb.NewStringValue(version)}}
}

func (b *builder) serverName(c call, version string) string {
	return ServerName(b.in.Config.Domain, c.upstream, c.listen, version)
}

// edsCluster is what all clusters of endpoints of the mesh have in common.
func (b *builder) edsCluster(c call, version string) *clusterv3.Cluster {
	cluster := b.callingCluster(c, upstreamCluster(c.caller, c.edge, version))
	cluster.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
	cluster.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads(), ServiceName: assignmentName(c.caller, c.edge, version)}
	cluster.EdsClusterConfig.EdsConfig.InitialFetchTimeout = durationpb.New(endpointsTimeout)
	return cluster
}

// callingCluster is a cluster that calls as its edge says.
func (b *builder) callingCluster(c call, name string) *clusterv3.Cluster {
	cluster := &clusterv3.Cluster{
		Name:                          name,
		ConnectTimeout:                durationpb.New(c.how.ConnectTimeout.D()),
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(bufferLimit),
		CommonLbConfig:                commonBalance(c.how),
		CircuitBreakers:               b.circuit(c),
		OutlierDetection:              outlier(c.how.Outlier),
		UpstreamConnectionOptions:     &clusterv3.UpstreamConnectionOptions{TcpKeepalive: keepalive()},
	}
	balance(cluster, c.how)
	return cluster
}

func (b *builder) addCluster(c call, cluster *clusterv3.Cluster, needs []Key) {
	b.add(Cluster, cluster.Name, cluster, c.about(), needs...)
}

// failover are the calls to which a call fails over, in this order. What speaks
// another way than the call cannot stand in for it.
func (b *builder) failover(c call) []call {
	var list []call
	for _, edge := range c.how.Failover.To {
		if to, ok := b.call(c.caller, edge); ok && to.service != nil && to.isHTTP() == c.isHTTP() {
			list = append(list, to)
		}
	}
	return list
}

// failoverClusters builds the cluster of a call that fails over, if it does: the
// levels of its own endpoints, then those of the others.
func (b *builder) failoverClusters(c call, version string) {
	others := b.failover(c)
	if len(others) == 0 {
		return
	}
	names := []string{upstreamCluster(c.caller, c.edge, version)}
	for _, to := range others {
		names = append(names, b.standins(to)...)
	}
	needs := make([]Key, len(names))
	for i, name := range names {
		needs[i] = Key{Cluster, name}
	}
	b.addCluster(c, &clusterv3.Cluster{
		Name:           failoverCluster(c.caller, c.edge, version),
		ConnectTimeout: durationpb.New(c.how.ConnectTimeout.D()),
		LbPolicy:       clusterv3.Cluster_CLUSTER_PROVIDED,
		CommonLbConfig: commonBalance(c.how),
		ClusterDiscoveryType: &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
			Name: "envoy.clusters.aggregate", TypedConfig: Any(&aggregatev3.ClusterConfig{Clusters: names}),
		}},
	}, needs)
}

// standins are the clusters of a call that stands in for another one: of its
// versions with a share, the greatest first.
func (b *builder) standins(c call) []string {
	if !c.isHTTP() {
		return []string{upstreamCluster(c.caller, c.edge, "")}
	}
	var names []string
	for _, share := range b.split(c).greatestFirst() {
		names = append(names, upstreamCluster(c.caller, c.edge, share.version))
	}
	return names
}
