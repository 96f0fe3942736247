package gossip

import (
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/nixmesh/nixmesh/internal/refusal"
)

const (
	maxQueued  = 512  // hints that wait to be sent; memberlist carries some 40 a second
	maxWaiting = 256  // hints that wait for OnHint
	maxSeen    = 4096 // hints that are known when they come again, 20 s at the most that arrives

	hintRate  = 20.0 // of one sender, a second: half of what the whole fleet has
	hintBurst = 40.0
)

// ErrBusy is returned by Broadcast when too many hints wait to be sent.
var ErrBusy = errors.New("too many hints wait to be sent")

// hints spreads hints: memberlist sends a user message to a few members, and
// whoever hears it for the first time sends it on.
type hints struct {
	table    *table
	refusals *refusal.Counter[Reason]
	queue    *memberlist.TransmitLimitedQueue
	waiting  chan Hint
	nextID   atomic.Uint64
	seed     maphash.Seed

	sent, received, repeated, dropped atomic.Uint64

	mu      sync.Mutex // guards what follows
	seen    map[uint64]bool
	order   [maxSeen]uint64 // a ring over seen
	next    int
	budgets map[string]*budget
}

// budget is what one sender may still send.
type budget struct {
	left float64
	at   time.Time
}

func newHints(t *table, refusals *refusal.Counter[Reason], members func() int) *hints {
	h := &hints{
		table: t, refusals: refusals,
		queue:   &memberlist.TransmitLimitedQueue{NumNodes: members, RetransmitMult: retransmitMult},
		waiting: make(chan Hint, maxWaiting),
		seed:    maphash.MakeSeed(),
		seen:    map[uint64]bool{},
		budgets: map[string]*budget{},
	}
	h.nextID.Store(rand.Uint64()) // a restart must not look like a repetition
	return h
}

// broadcast queues a hint of this host.
func (h *hints) broadcast(key string, data []byte) error {
	f := frame{id: h.nextID.Add(1), hint: Hint{From: h.table.self, Key: key, Data: data}}
	b, err := f.encode()
	if err != nil {
		return err
	}
	if h.queue.NumQueued() >= maxQueued {
		return ErrBusy
	}
	h.sent.Add(1)
	h.queue.QueueBroadcast(queuedHint{name: f.hint.From + "\x00" + key, bytes: b})
	return nil
}

// receive takes a user message. memberlist handles no other while it runs.
func (h *hints) receive(b []byte) {
	f, err := decodeFrame(b)
	switch {
	case err != nil:
		h.refusals.Add(BadHint, "", err.Error())
		return
	case f.hint.From == h.table.self:
		return
	case !h.table.addr(f.hint.From).IsValid():
		h.refusals.Add(BadHint, f.hint.From, "unknown sender")
		return
	}
	fresh, allowed := h.admit(f.hint.From, maphash.Bytes(h.seed, b))
	switch {
	case !fresh:
		h.repeated.Add(1)
		return
	case !allowed:
		h.refusals.Add(TooManyHints, f.hint.From, "")
		return
	}
	h.received.Add(1)
	if h.queue.NumQueued() < maxQueued {
		h.queue.QueueBroadcast(queuedHint{name: f.hint.From + "\x00" + f.hint.Key, bytes: append([]byte(nil), b...)})
	}
	select {
	case h.waiting <- f.hint:
	default:
		h.dropped.Add(1)
	}
}

// admit tells whether a hint was not here yet, and whether its sender may send
// another.
func (h *hints) admit(from string, sum uint64) (fresh, allowed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen[sum] {
		return false, false
	}
	delete(h.seen, h.order[h.next])
	h.seen[sum], h.order[h.next] = true, sum
	h.next = (h.next + 1) % maxSeen

	now := time.Now()
	b := h.budgets[from]
	if b == nil {
		b = &budget{left: hintBurst, at: now}
		h.budgets[from] = b
	}
	b.left = min(hintBurst, b.left+now.Sub(b.at).Seconds()*hintRate)
	b.at = now
	if b.left < 1 {
		return true, false
	}
	b.left--
	return true, true
}

// forget drops what is kept of hosts that the table no longer has.
func (h *hints) forget(names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range names {
		delete(h.budgets, name)
	}
}

// queuedHint is a hint in memberlist's queue.
type queuedHint struct {
	name  string
	bytes []byte
}

var _ memberlist.NamedBroadcast = queuedHint{}

// Name makes a newer hint replace an older one.
func (q queuedHint) Name() string { return q.name }

// Invalidates is not asked of a named broadcast.
func (q queuedHint) Invalidates(memberlist.Broadcast) bool { return false }

// Message is what is sent.
func (q queuedHint) Message() []byte { return q.bytes }

// Finished is told when it was sent often enough, or replaced.
func (q queuedHint) Finished() {}
