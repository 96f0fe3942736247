package xds

import (
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// Input is all that the resources of a host depend on. Functions are pure for as
// long as a Build takes; nil ones know nothing.
type Input struct {
	Host   string
	Config *mesh.Config     // validated
	Facts  *hostfacts.Facts // of this host; Mesh is set

	IPv6 bool // whether the host's kernel has it: gateways then listen there, too

	// Leaf is the certificate of a service or gateway of this host.
	Leaf func(name string) (Leaf, bool)

	// Held says whether Envoy has a certificate of a service or gateway that this host
	// knows no more: with it the service goes on. nil = it has none.
	Held func(name string) bool

	// Endpoints are those of a service, by version and host; see catalog.Endpoints.
	Endpoints func(service string) []catalog.Endpoint

	// Ill says whether the checks of a copy of a service on this host fail, by the
	// number that its host's record has of it; nil = none does.
	Ill func(service, version string, copy int) bool

	// Split overrides the shares of a service's versions; nil = the configuration's.
	Split func(service string) map[string]mesh.Percent

	Now time.Time // by which certificates from files are judged; zero = they are not

	// File reads a file that the facts name: certificates and keys of gateways and
	// of externals. An error is a problem, and what is not named by the facts is one.
	File func(path string) ([]byte, error)

	// Kept are the last Output's.
	Kept map[string]Kept
}

// Leaf is a certificate with its chain, and its key, as PEM.
type Leaf struct {
	Chain, Key []byte
}

// Ports and addresses that are the same on every host.
const (
	MeshPort    = catalog.DefaultPort // mTLS between hosts
	EdgeAddress = "127.65.0.1"        // where outbound listeners are bound
)

// Output is what Envoy is to be told, and what stands against it.
type Output struct {
	Resources []*Resource // sorted by Key
	Spared    []Key       // that Envoy keeps as it has them, if it has them
	Problems  []Problem
	Kept      map[string]Kept // what files held that were good, by the name of the secret; of a Build
}

// Problem says why something is missing or stands in for something else. The rest
// is built all the same.
type Problem struct {
	About About
	Text  string // one line; nothing of a secret
	Level Level
}

// Level says how bad a problem is.
type Level uint8

// Levels.
const (
	Waiting Level = iota + 1 // it comes by itself: a certificate that is being asked for
	Standin                  // something else is served in its place
	Missing                  // it is left out
)

// connectTimeout bounds a connection to this host's own applications.
const connectTimeout = time.Second
