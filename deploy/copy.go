package deploy

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/nix"
	"github.com/nixmesh/nixmesh/remote"
)

// copy signs and sends the closure over the connection that is open anyway.
func (r *hostRun) copy(ctx context.Context) error {
	last := error(nil)
	for attempt := range copyAttempts {
		if attempt > 0 {
			r.progress(fmt.Sprintf("again: %v", last))
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Duration(attempt) * time.Second):
			}
		}
		last = r.copyOnce(ctx)
		if last == nil || ctx.Err() != nil || !copyAgain(last) {
			return last
		}
	}
	return last
}

// copyAttempts bounds the retries of a copy; what arrived stays.
const copyAttempts = 3

// copyAgain says whether a failed copy is worth another attempt: not where the
// host said no.
func copyAgain(err error) bool {
	t := err.Error()
	for _, final := range []string{"lacks a signature", "lacks a valid signature", "No space left on device", "is not allowed to connect"} {
		if strings.Contains(t, final) {
			return false
		}
	}
	return true
}

func (r *hostRun) copyOnce(ctx context.Context) error {
	c, err := r.link.host(ctx)
	if err != nil {
		return &LostError{Host: r.plan.Host, Err: err}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sudo := ""
	if r.plan.Action == ActionFirst && r.link.target.User != "root" {
		sudo = "sudo -n "
	}
	killOrphans(ctx, r.link, sudo)
	socket, err := c.Bridge(ctx, sudo+nix.DaemonCommand)
	if err != nil {
		r.link.drop(c)
		return &LostError{Host: r.plan.Host, Err: err}
	}
	req := CopyRequest{Host: r.plan.Host, Toplevel: r.plan.New, Socket: socket, NoCheck: r.plan.Action == ActionFirst}
	if b, ok := c.(interface{ BridgeError() string }); ok {
		req.Reason = b.BridgeError
	}
	told := int64(-1)
	return r.d.Store.Copy(ctx, req, func(done, total int64) {
		if total <= 0 {
			return
		}
		if percent := done * 100 / total; percent != told {
			told = percent
			r.progress(fmt.Sprintf("%d%%", percent))
		}
	})
}

// killOrphans ends the nix-daemons that a copy which was cut off left behind,
// as the user that they run as: one of them keeps the lock of its path, and
// every later copy of that path would wait for it.
func killOrphans(ctx context.Context, l *link, sudo string) {
	// Best effort: mostly there is nothing to end.
	_, _ = l.output(ctx, sudo+remote.ShellLine(nix.OrphanCleanup), nil)
}
