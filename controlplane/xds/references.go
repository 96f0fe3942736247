package xds

import (
	"fmt"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	aggregatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
)

// References finds what `envoy --mode validate` passes over, or shows without saying
// where it is: names that lead nowhere, priorities with gaps, two listeners on
// one address, chains of a listener that take the same connections, and values that
// the rules of Envoy's own types refuse.
func References(out *Output) []Problem {
	k := &auditor{known: map[Key]bool{}, bound: map[string]string{}}
	for _, r := range out.Resources {
		k.known[r.Key] = true
	}
	for _, r := range out.Resources {
		k.resource(r)
	}
	return k.problems
}

type auditor struct {
	known    map[Key]bool
	bound    map[string]string // address -> listener
	problems []Problem
}

func (k *auditor) resource(r *Resource) {
	m, err := r.message()
	if err != nil {
		k.wrong(r, err.Error())
		return
	}
	for _, key := range r.Needs {
		k.refer(r, key)
	}
	err = walk(m, func(m proto.Message) error {
		if checked, ok := m.(Message); ok && r.Type != Secret {
			if err := checked.ValidateAll(); err != nil {
				return err
			}
		}
		for _, key := range named(m) {
			k.refer(r, key)
		}
		switch m := m.(type) {
		case *listenerv3.Listener:
			k.listener(r, m)
		case *endpointv3.ClusterLoadAssignment:
			k.assignment(r, m)
		case *routev3.RouteConfiguration:
			k.routes(r, m)
		}
		return nil
	})
	if err != nil {
		k.wrong(r, err.Error())
	}
}

func (k *auditor) wrong(r *Resource, text string) {
	p := Problem{About: r.About, Text: r.Name + ": " + text, Level: Missing}
	if !slices.Contains(k.problems, p) {
		k.problems = append(k.problems, p)
	}
}

// refer demands a resource. A secret may come later: that is told where it is built.
func (k *auditor) refer(r *Resource, key Key) {
	if !k.known[key] && key.Type != Secret {
		k.wrong(r, fmt.Sprintf("it names %s, which is not there", key.Name))
	}
}

// named are the resources that a message itself names.
func named(m proto.Message) []Key {
	var keys []Key
	add := func(t Type, names ...string) {
		for _, name := range names {
			if name != "" {
				keys = append(keys, Key{t, name})
			}
		}
	}
	switch m := m.(type) {
	case *tcpproxyv3.TcpProxy:
		add(Cluster, m.GetCluster())
	case *tcpproxyv3.TcpProxy_WeightedCluster_ClusterWeight:
		add(Cluster, m.Name)
	case *routev3.RouteAction:
		add(Cluster, m.GetCluster())
	case *routev3.WeightedCluster_ClusterWeight:
		add(Cluster, m.Name)
	case *routev3.RouteAction_RequestMirrorPolicy:
		add(Cluster, m.Cluster)
	case *aggregatev3.ClusterConfig:
		add(Cluster, m.Clusters...)
	case *clusterv3.Cluster:
		if eds := m.GetEdsClusterConfig(); eds != nil {
			add(Assignment, eds.ServiceName)
		}
	case *hcmv3.HttpConnectionManager:
		add(Route, m.GetRds().GetRouteConfigName())
	case *hcmv3.HttpFilter:
		if m.GetConfigDiscovery() != nil {
			add(Extension, m.Name)
		}
	case *tlsv3.SdsSecretConfig:
		add(Secret, m.Name)
	}
	return keys
}

func (k *auditor) listener(r *Resource, l *listenerv3.Listener) {
	for _, address := range append([]*listenerv3.AdditionalAddress{{Address: l.Address}}, l.AdditionalAddresses...) {
		socket := address.Address.GetSocketAddress()
		at := fmt.Sprintf("%s port %d", socket.GetAddress(), socket.GetPortValue())
		if other := k.bound[at]; other != "" && socket.GetPortValue() != 0 {
			k.wrong(r, fmt.Sprintf("%s is %s's", at, other))
		}
		k.bound[at] = l.Name
	}
	taken := map[string]string{}
	for _, chain := range l.FilterChains {
		for _, match := range connectionsOf(chain.FilterChainMatch) {
			if other, is := taken[match]; is {
				k.wrong(r, fmt.Sprintf("chains %q and %q take the same connections", other, chain.Name))
			}
			taken[match] = chain.Name
		}
	}
}

// connectionsOf are the single matches that a match of a chain stands for, as far as
// server names and protocols go.
func connectionsOf(m *listenerv3.FilterChainMatch) []string {
	if m == nil {
		return []string{""}
	}
	rest := proto.Clone(m).(*listenerv3.FilterChainMatch)
	rest.ServerNames, rest.ApplicationProtocols = nil, nil
	body, _ := proto.MarshalOptions{Deterministic: true}.Marshal(rest) // it was unmarshalled just now
	var list []string
	for _, name := range orNone(m.ServerNames) {
		for _, protocol := range orNone(m.ApplicationProtocols) {
			list = append(list, fmt.Sprintf("%q %q %x", name, protocol, body))
		}
	}
	return list
}

func orNone(names []string) []string {
	if len(names) == 0 {
		return []string{""}
	}
	return names
}

// assignment demands priorities from 0 on without a gap.
func (k *auditor) assignment(r *Resource, a *endpointv3.ClusterLoadAssignment) {
	var priorities []uint32
	for _, group := range a.Endpoints {
		priorities = append(priorities, group.Priority)
	}
	slices.Sort(priorities)
	for i, priority := range slices.Compact(priorities) {
		if priority != uint32(i) {
			k.wrong(r, fmt.Sprintf("it has endpoints of priority %d and none of %d", priority, i))
			return
		}
	}
}

// routes demands that a host name leads to one place.
func (k *auditor) routes(r *Resource, c *routev3.RouteConfiguration) {
	taken := map[string]string{}
	for _, host := range c.VirtualHosts {
		for _, domain := range host.Domains {
			if other, is := taken[domain]; is {
				k.wrong(r, fmt.Sprintf("%s and %s are both for %q", other, host.Name, domain))
			}
			taken[domain] = host.Name
		}
	}
}
