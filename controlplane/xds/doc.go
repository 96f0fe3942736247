// Package xds computes what the one Envoy of this host is told: listeners,
// clusters, assignments, routes, extensions and secrets, from the facts of the
// host, the mesh configuration, the catalog and the certificates. It is pure:
// equal inputs give equal bytes. Its child delta sends them to Envoy.
package xds
