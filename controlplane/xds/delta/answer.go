package delta

import (
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// acked: Envoy took a message. Of clusters it says that they are warm.
func (st *stream) acked(f *feed, fl *flight) {
	now := time.Now()
	st.s.counts[f.typ].Acked++
	f.acked = true
	for _, r := range fl.sent {
		if was := st.s.shelf.refused[r.Key]; was != nil && was.version == r.Version {
			st.s.opts.Logger.Info("envoy takes what it refused", "resource", r.Name)
		}
		st.mark(st.s.shelf.acknowledge(r.Resource)...)
		st.expect(r.Resource)
	}
	if f.typ == xds.Listener && len(fl.removed) > 0 {
		for _, refused := range st.s.shelf.refused { // the port may be free now
			if !refused.retry.IsZero() {
				refused.retry = now
			}
		}
	}
}

// expect notes that Envoy, which has this, is about to subscribe to what it names.
func (st *stream) expect(r *xds.Resource) {
	if r == nil {
		return
	}
	for _, k := range r.Needs {
		f := st.feeds[k.Type]
		if f == nil || f.wildcard || f.named(k.Name) {
			continue
		}
		if there, _ := st.s.shelf.offer(k); there != nil {
			f.awaited[k.Name] = time.Now().Add(st.s.opts.Timings.Warm)
		}
	}
}

// nacked: Envoy did not take something in a message. It has applied the rest, but
// does not say so, and so all is sent again: what is suspected singly. What is
// refused alone is the culprit.
func (st *stream) nacked(f *feed, fl *flight, text string, now time.Time) {
	st.s.counts[f.typ].Nacked++
	f.undo(fl)
	switch len(fl.sent) {
	case 0:
		st.s.opts.Logger.Warn("envoy refused a removal", "type", short(f.typ), "text", clean(text, nil))
	case 1:
		delete(st.s.shelf.maybe, fl.sent[0].Key)
		st.convict(fl.sent[0].Resource, text, now)
	default:
		var again []sent
		for _, r := range fl.sent {
			st.s.shelf.maybe[r.Key] = true
			if f.after(fl.serial, r.Name) == nil { // else another version is on its way
				f.force(r.Name)
				again = append(again, r)
			}
		}
		f.groups = append(f.groups, suspects(again, text)...)
	}
}

func (st *stream) convict(r *xds.Resource, text string, now time.Time) {
	known := st.s.shelf.refused[r.Key]
	said := clean(text, r)
	st.mark(st.s.shelf.refuse(r, said, now, st.s.opts.Timings)...)
	if good, _ := st.s.shelf.offer(r.Key); good != nil && r.Type != xds.Cluster && r.Type != xds.Listener {
		st.feeds[r.Type].force(r.Name) // Envoy may have let go of the last good one
	}
	if known == nil {
		st.s.opts.Logger.Warn("envoy refused a resource", "type", short(r.Type), "resource", r.Name, "version", r.Version, "text", said)
	}
}

// suspects cuts a refused message into the messages that find out whose fault it
// was: those that Envoy's text names singly, after the rest in one. Where it names
// none, or all, two halves.
func suspects(all []sent, text string) [][]string {
	var named, rest []string
	for _, r := range all {
		if strings.Contains(text, r.Name+": ") {
			named = append(named, r.Name)
		} else {
			rest = append(rest, r.Name)
		}
	}
	if len(named) == 0 && len(rest) > 1 {
		return [][]string{rest[:len(rest)/2], rest[len(rest)/2:]}
	}
	var groups [][]string
	if len(rest) > 0 {
		groups = append(groups, rest)
	}
	for _, name := range named {
		groups = append(groups, []string{name})
	}
	return groups
}

func short(t xds.Type) string { return string(t)[strings.LastIndexByte(string(t), '.')+1:] }
