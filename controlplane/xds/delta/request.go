package delta

import (
	"strconv"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// What one stream may ask for. Far above what an Envoy of one host ever does.
const (
	nameMost  = 1024    // bytes of a name
	namesMost = 200_000 // names of a type
)

type request = discovery.DeltaDiscoveryRequest

// hear takes a request. An error ends the stream.
func (s *Server) hear(st *stream, req *request) error {
	if err := check(req); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream != st {
		return errNewer
	}
	if req.GetNode() != nil && st.node == "" {
		st.meet(req.GetNode())
	}
	if f := st.feeds[xds.Type(req.GetTypeUrl())]; f != nil {
		st.answer(f, req)
		if err := st.subscribe(f, req); err != nil {
			return err
		}
	} else {
		st.deny(req)
	}
	st.poke()
	s.notify()
	return nil
}

func check(req *request) error {
	if req.GetTypeUrl() == "" {
		return status.Error(codes.InvalidArgument, "a request of an aggregated stream names its type")
	}
	if len(req.GetTypeUrl()) > nameMost {
		return status.Error(codes.InvalidArgument, "the name of the type is too long")
	}
	for _, names := range [][]string{req.GetResourceNamesSubscribe(), req.GetResourceNamesUnsubscribe()} {
		for _, name := range names {
			if len(name) > nameMost {
				return status.Error(codes.InvalidArgument, "a name is too long")
			}
		}
	}
	return nil
}

// meet learns who is there.
func (st *stream) meet(n *core.Node) {
	st.node, st.envoy = bounded(n.GetId(), 128), bounded(n.GetUserAgentVersion(), 64)
	if v := n.GetUserAgentBuildVersion().GetVersion(); v != nil {
		st.envoy = strconv.Itoa(int(v.GetMajorNumber())) + "." + strconv.Itoa(int(v.GetMinorNumber())) + "." + strconv.Itoa(int(v.GetPatch()))
	}
	if before := st.s.envoy; before != "" && before != st.envoy {
		st.mark(st.s.shelf.forgive()...)
	}
	st.s.envoy = st.envoy
	st.s.opts.Logger.Info("envoy connected", "node", st.node, "version", st.envoy)
}

// deny answers that there is nothing of a type that is not ours, so that nothing
// waits for it.
func (st *stream) deny(req *request) {
	names := req.GetResourceNamesSubscribe()
	if len(names) == 0 || len(st.extra) > 100 {
		return
	}
	st.serial++
	st.extra = append(st.extra, &response{
		TypeUrl: req.GetTypeUrl(), Nonce: strconv.FormatUint(st.serial, 10), RemovedResources: names,
	})
}

// subscribe takes the names of a request.
func (st *stream) subscribe(f *feed, req *request) error {
	first := !f.asked
	add, remove := req.GetResourceNamesSubscribe(), req.GetResourceNamesUnsubscribe()
	if len(f.names)+len(add) > namesMost || len(req.GetInitialResourceVersions()) > namesMost {
		return status.Error(codes.ResourceExhausted, "too many names")
	}
	f.asked = true
	widened := first && len(add) == 0 && (f.typ == xds.Cluster || f.typ == xds.Listener) // the older way to say "*"
	for _, name := range add {
		if name == "*" {
			widened = widened || !f.wildcard
			continue
		}
		f.names[name] = struct{}{}
		delete(f.awaited, name)
	}
	if widened {
		f.wildcard, f.owed = true, true
		clear(f.awaited)
	}
	for _, name := range remove {
		st.unsubscribe(f, name)
	}
	if first {
		st.resume(f, req.GetInitialResourceVersions())
		return nil
	}
	if widened {
		for _, name := range st.s.shelf.names(f.typ) {
			f.mark(name)
		}
	}
	for _, name := range add {
		if alone(f.typ) {
			f.told[name] = ""
		}
		f.force(name) // asked for again, it is sent again; "*" is no resource
	}
	return nil
}

func (st *stream) unsubscribe(f *feed, name string) {
	if name == "*" {
		f.wildcard, f.owed = false, false
		for known := range f.known {
			if !f.named(known) {
				st.lose(f, known)
			}
		}
		return
	}
	delete(f.names, name)
	st.lose(f, name)
	if f.wildcard {
		f.force(name) // Envoy may have dropped it, and is still to have all
	}
}

// lose notes that Envoy does not hold a resource any more.
func (st *stream) lose(f *feed, name string) {
	delete(f.known, name)
	delete(st.s.shelf.maybe, f.key(name))
	f.drop(name)
	st.s.shelf.has(f.key(name), "")
	st.s.shelf.forget(f.key(name))
}

// resume begins a type on this stream with what Envoy has of it.
func (st *stream) resume(f *feed, versions map[string]string) {
	shelf := st.s.shelf
	if f.typ == xds.Cluster && len(versions) == 0 {
		st.nothing()
	}
	for name, version := range versions {
		if f.subscribed(name) && version != "" {
			f.known[name] = version
		}
	}
	if len(versions) > 0 {
		st.old, st.fresh = true, false
	}
	f.acked = f.acked || len(f.known) > 0
	f.owed = f.owed && len(f.known) == 0
	// Envoy asks for clusters first, unless some are warming: that may be for an
	// assignment that was lost with the last stream.
	lost := f.typ == xds.Assignment && !st.feeds[xds.Cluster].asked
	for _, name := range shelf.names(f.typ) {
		shelf.has(f.key(name), f.known[name])
		st.mark(f.key(name))
	}
	for name := range f.names {
		f.mark(name)
		if lost {
			f.force(name)
		}
	}
	for name := range f.known {
		f.mark(name)
	}
	for k := range shelf.maybe {
		if k.Type == f.typ {
			f.mark(k.Name)
		}
	}
}

// nothing notes that Envoy has nothing of the types that it has not asked for: as
// far as it has said, it has just been started. One that has gateways without clusters
// says next which listeners it has.
func (st *stream) nothing() {
	st.fresh = !st.old
	for t, entries := range st.s.shelf.entries {
		for name := range entries {
			if !st.feeds[t].asked {
				st.s.shelf.has(xds.Key{Type: t, Name: name}, "")
			}
		}
	}
}

// answer takes what a request says of a message: that Envoy took it, or did not.
func (st *stream) answer(f *feed, req *request) {
	if req.GetResponseNonce() == "" {
		return
	}
	fl := f.land(req.GetResponseNonce())
	if fl == nil {
		return // of another type, or heard already
	}
	if req.GetErrorDetail() == nil {
		st.acked(f, fl)
		return
	}
	st.nacked(f, fl, req.GetErrorDetail().GetMessage(), time.Now())
}
