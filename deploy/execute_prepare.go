package deploy

import (
	"context"
	"errors"
	"fmt"
)

// prepare copies to all hosts and roots there, before the first switch.
func (e *execution) prepare(soft context.Context) {
	var todo []string
	for _, h := range e.hosts() {
		if e.result(h) == nil {
			todo = append(todo, h)
		}
	}
	each(todo, e.width(len(todo)), func(h string) {
		r := e.runs[h]
		r.started = e.d.now()
		if soft.Err() != nil {
			e.set(r.finish(EndNotStarted, "interrupted"))
			return
		}
		err := e.signed(soft, r)
		if err == nil {
			err = r.prepare(soft, e.o.Rollback)
		}
		switch {
		case err == nil:
		case soft.Err() != nil:
			e.set(r.finish(EndNotStarted, "interrupted"))
		default:
			e.prepareFailed(r, err)
		}
	})
}

// prepareFailed sorts a failure before the switch.
func (e *execution) prepareFailed(r *hostRun, err error) {
	text := plain(r.plan.Host, err)
	r.fail(text, nil)
	if next := nextOf(err); next != "" {
		e.d.note(r.plan.Host, "%s", next)
	}
	var refused *RefusedError
	var own *Error
	switch {
	case lost(err):
		e.set(r.finish(EndUnreachable, text))
	case errors.As(err, &own) && own.Exit == ExitRefused, errors.As(err, &refused) && refused.Status == int(ExitRefused):
		e.set(r.finish(EndRefused, text))
	default:
		e.set(r.finish(EndFailed, text))
	}
}

// signed gets the signature of a run's toplevel: made here where it was built,
// over values of the host's own store where it is rooted there already.
func (e *execution) signed(ctx context.Context, r *hostRun) error {
	if !e.o.Rollback {
		sigs, err := e.d.Store.SignClosure(ctx, r.plan.New)
		r.sigs = sigs
		return err
	}
	return r.signThere(ctx)
}

func (r *hostRun) signThere(ctx context.Context) error {
	info := r.plan.info
	if info == nil {
		read, err := readPathInfo(ctx, r.link.shell, r.plan.New)
		if err != nil {
			return err
		}
		info = &read
	}
	sig, err := r.d.SignNix(*info)
	r.sigs = []string{sig}
	return err
}

// abandon ends the runs that were prepared and not performed, under the leases.
func (e *execution) abandon(hard context.Context) {
	var left []string
	for h, r := range e.runs {
		if r.rooted {
			left = append(left, h)
		}
	}
	why := fmt.Sprintf("release %d ended before this host was started", e.plan.Number)
	each(left, len(left), func(h string) { e.runs[h].abandon(hard, why) })
}
