package gossip

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/nixmesh/nixmesh/internal/refusal"
)

// delegate is what memberlist asks and tells. It calls some of the methods with
// its lock held, so none waits and none calls memberlist.
type delegate struct {
	table    *table
	view     *view
	refusals *refusal.Counter[Reason]
	hints    *hints

	mu   sync.Mutex // guards what follows
	meta []byte
}

var (
	_ memberlist.Delegate      = (*delegate)(nil)
	_ memberlist.AliveDelegate = (*delegate)(nil)
	_ memberlist.MergeDelegate = (*delegate)(nil)
	_ memberlist.EventDelegate = (*delegate)(nil)
	_ memberlist.PingDelegate  = (*delegate)(nil)

	errRefused = errors.New("refused")
)

// setMeta takes what NodeMeta returns from now on.
func (d *delegate) setMeta(meta []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.meta = meta
}

// NodeMeta is this host's meta. It is far below every limit.
func (d *delegate) NodeMeta(int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.meta
}

// NotifyAlive decides on every message that says a host is alive, from gossip or
// from a list of members. What it refuses never becomes a member.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	meta, reason, detail := d.judge(n)
	if reason != "" {
		d.refusals.Add(reason, n.Name, detail)
		return fmt.Errorf("%w: %s", errRefused, reason)
	}
	if n.Name != d.table.self {
		d.view.vouched(n.Name, meta)
	}
	return nil
}

func (d *delegate) judge(n *memberlist.Node) (meta Meta, reason Reason, detail string) {
	want, at := d.table.addr(n.Name), addressOf(n)
	switch {
	case !want.IsValid():
		return meta, UnknownName, at.String()
	case at != want:
		return meta, WrongAddress, fmt.Sprintf("%s instead of %s", at, want)
	case n.PMin > memberlist.ProtocolVersion2Compatible || n.PMax < memberlist.ProtocolVersion2Compatible ||
		n.PCur < n.PMin || n.PCur > n.PMax || n.PCur > memberlist.ProtocolVersionMax || n.DMin != 0 || n.DCur != 0:
		// One member with another range, and memberlist refuses every exchange of
		// lists, everywhere (state.go, verifyProtocol).
		return meta, WrongProtocol, fmt.Sprintf("%d in %d to %d", n.PCur, n.PMin, n.PMax)
	}
	meta, err := decodeMeta(n.Meta)
	if err != nil {
		return meta, BadMeta, err.Error()
	}
	return meta, "", ""
}

// NotifyMerge decides on a list of members as a whole. Single names are
// NotifyAlive's: hosts that have just been added or removed differ between
// members for a while, and that must not keep lists from being exchanged.
func (d *delegate) NotifyMerge(nodes []*memberlist.Node) error {
	if len(nodes) > maxHosts {
		d.refusals.Add(TooManyHosts, "", fmt.Sprintf("%d", len(nodes)))
		return fmt.Errorf("%w: %s", errRefused, TooManyHosts)
	}
	return nil
}

// NotifyJoin says that a host is alive that was not.
func (d *delegate) NotifyJoin(n *memberlist.Node) { d.heard(n, true) }

// NotifyUpdate says that the meta of a host that is alive changed.
func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.heard(n, false) }

func (d *delegate) heard(n *memberlist.Node, joined bool) {
	if n.Name == d.table.self {
		return
	}
	meta, err := decodeMeta(n.Meta)
	if err != nil {
		return // judge refused it
	}
	d.view.heard(n.Name, addressOf(n), meta, joined)
}

// NotifyLeave says that a host is dead or left.
func (d *delegate) NotifyLeave(n *memberlist.Node) {
	if n.Name != d.table.self {
		d.view.lost(n.Name)
	}
}

// AckPayload is what goes along with an answered probe.
func (d *delegate) AckPayload() []byte { return nil }

// NotifyPingComplete says that a host answered a probe of ours directly.
func (d *delegate) NotifyPingComplete(n *memberlist.Node, rtt time.Duration, _ []byte) {
	d.view.answered(n.Name, rtt)
}

// NotifyMsg takes a hint.
func (d *delegate) NotifyMsg(b []byte) { d.hints.receive(b) }

// GetBroadcasts gives hints for a packet with so much room.
func (d *delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.hints.queue.GetBroadcasts(overhead, limit)
}

// LocalState is what goes along with a list of members: nothing, as the catalog
// is exchanged by agents themselves.
func (d *delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState takes what a peer's LocalState gave.
func (d *delegate) MergeRemoteState([]byte, bool) {}

// addressOf keeps an IPv4 address that is written as IPv6 what it is, and so
// another one: memberlist compares the bytes, and would hold the name for it.
func addressOf(n *memberlist.Node) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(ip, n.Port)
}
