package sync

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

var errPanicked = errors.New("the agent could not stand it; its log says more")

// merge gives what a peer says to the catalog.
func (s *Sync) merge(from string, b []byte) (result catalog.Result, err error) {
	err = s.guard(from, "delta", b, func() error {
		d, err := catalog.DecodeDelta(b)
		if err != nil {
			return fmt.Errorf("read delta: %w", err)
		}
		result = s.opts.Catalog.Merge(s.opts.Clock.Now(), from, d)
		return nil
	})
	return result, err
}

// guard runs what bytes of a peer are for. A panic ends neither the agent nor
// the connection. Who wants the same bytes kept away from then on does that where
// they are used.
func (s *Sync) guard(from, what string, b []byte, run func() error) (err error) {
	defer func() {
		panicked := recover()
		if panicked == nil {
			return
		}
		err = errPanicked
		s.counters.panics.Add(1)
		s.opts.Logger.Error("panic over what a peer sent", "from", from, "what", what, "bytes", len(b),
			"err", fmt.Sprint(panicked), "stack", string(debug.Stack()))
	}()
	return run()
}
