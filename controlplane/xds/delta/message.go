package delta

import (
	"strconv"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// What one message holds at most. A resource that is larger goes alone.
const (
	sizeMost  = 512 << 10 // bytes of resources
	countMost = 1000      // resources and removals
)

// draft is a message in the making.
type draft struct {
	sent    []sent
	removed []string
	size    int
}

func (d *draft) empty() bool { return len(d.sent)+len(d.removed) == 0 }

// full says that a resource does not fit.
func (d *draft) full(r *xds.Resource, t xds.Type) bool {
	n := len(d.sent) + len(d.removed)
	return n > 0 && alone(t) || n >= countMost || n > 0 && d.size+len(r.Body) > sizeMost
}

// post sends a message off.
func (p *pass) post(f *feed, d *draft) {
	st := p.st
	st.serial++
	c := st.s.counts[f.typ]
	c.Sent++
	c.Resources += uint64(len(d.sent))
	c.Removals += uint64(len(d.removed))
	c.Bytes += uint64(d.size)
	f.flights = append(f.flights, &flight{serial: st.serial, sent: d.sent, removed: d.removed, at: p.now})
	m := &response{
		TypeUrl: string(f.typ), Nonce: strconv.FormatUint(st.serial, 10), RemovedResources: d.removed,
		Resources: make([]*discovery.Resource, len(d.sent)),
	}
	for i, r := range d.sent {
		m.Resources[i] = &discovery.Resource{Name: r.Name, Version: r.Version, Resource: &anypb.Any{TypeUrl: string(f.typ), Value: r.Body}}
	}
	p.out = append(p.out, m)
	st.s.notify()
}
