package sync

import (
	"io"
	"sync"
)

// maxOutbox bounds what waits for one peer, in bytes.
const maxOutbox = 2 * maxPush

// outbox is what waits to be sent on one stream. It is the body of an HTTP
// request: who writes the stream reads from it, so a peer that does not take what
// it is sent makes nobody wait but the outbox.
type outbox struct {
	// drained is called, in the writer's goroutine, once all is sent after
	// something was dropped.
	drained func()

	mu      sync.Mutex // guards what follows
	wake    sync.Cond  // of mu
	waiting [][]byte
	size    int  // of those that wait
	partial bool // the first of them is sent in part
	dropped bool
	ending  bool // nothing comes any more: end after what waits
	closed  bool
}

var _ io.ReadCloser = (*outbox)(nil)

func newOutbox(drained func()) *outbox {
	o := &outbox{drained: drained}
	o.wake.L = &o.mu
	return o
}

// add takes a frame without waiting. It says false when there was no room: then
// all that waits is dropped, too, and all that comes until the peer has taken what
// is under way, since the comparison that follows brings it.
func (o *outbox) add(frame []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.ending {
		return true
	}
	if !o.dropped && o.size+len(frame) <= maxOutbox {
		o.waiting = append(o.waiting, frame)
		o.size += len(frame)
		o.wake.Signal()
		return true
	}
	o.dropped = true
	if o.partial {
		o.waiting = o.waiting[:1:1]
		o.size = len(o.waiting[0])
	} else {
		o.waiting, o.size = nil, 0
	}
	o.wake.Signal()
	return false
}

// Read hands out what waits. It is called by one goroutine.
func (o *outbox) Read(b []byte) (int, error) {
	for {
		n, dropped, err := o.take(b)
		if !dropped {
			return n, err
		}
		o.drained()
	}
}

func (o *outbox) take(b []byte) (n int, dropped bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.waiting) == 0 || o.closed {
		switch {
		case o.closed:
			return 0, false, io.ErrClosedPipe
		case o.dropped:
			o.dropped = false
			return 0, true, nil
		case o.ending:
			return 0, false, io.EOF
		}
		o.wake.Wait()
	}
	for len(o.waiting) > 0 && n < len(b) {
		m := copy(b[n:], o.waiting[0])
		n += m
		o.waiting[0] = o.waiting[0][m:]
		o.partial = len(o.waiting[0]) > 0
		if !o.partial {
			o.waiting = o.waiting[1:]
		}
	}
	o.size -= n
	return n, false, nil
}

// end lets the stream end once all that waits is sent.
func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ending = true
	o.wake.Signal()
}

// Close drops what waits and ends the stream.
func (o *outbox) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed, o.waiting = true, nil
	o.wake.Signal()
	return nil
}
