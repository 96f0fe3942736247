package controlplane

import (
	"cmp"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// typeName is a type as people say it.
func typeName(t xds.Type) string {
	switch t {
	case xds.Secret:
		return "secret"
	case xds.Cluster:
		return "cluster"
	case xds.Assignment:
		return "assignment"
	case xds.Listener:
		return "listener"
	case xds.Route:
		return "route"
	default:
		return "extension"
	}
}

// aboutText names a part of the mesh configuration: "web -> api".
func aboutText(a xds.About) string {
	switch {
	case a.Edge != "":
		return a.Caller + " -> " + a.Edge
	case a.External != "":
		return "external " + a.External
	case a.Gateway != "":
		return "gateway " + a.Gateway
	default:
		return cmp.Or(a.Service, a.Caller)
	}
}

func levelName(l xds.Level) string {
	switch l {
	case xds.Waiting:
		return agentapi.ProxyWaiting
	case xds.Standin:
		return agentapi.ProxyStandin
	default:
		return agentapi.ProxyMissing
	}
}
