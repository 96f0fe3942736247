package main

import (
	"fmt"
	"io"

	"github.com/nixmesh/nixmesh/deploy"
	"github.com/nixmesh/nixmesh/internal/term"
)

// ui is how one command shows what happens: events on stderr for people and
// logs, on stdout for programs.
type ui struct {
	a     *app
	style term.Style // of stdout
	sink  deploy.Sink
	close func()
	pause func() // makes room for other text until a release starts
	json  bool   // events replace the text on stdout
}

// newUI chooses the renderer once: --progress, else by the terminal.
func (a *app) newUI() *ui {
	u := &ui{a: a, style: a.style(a.stdout), close: func() {}, pause: func() {}}
	kind := a.progress
	errStyle := a.style(a.stderr)
	if kind == "" {
		kind = "plain"
		if errStyle.TTY {
			kind = "tty"
		}
	}
	switch {
	case kind == "json":
		r := deploy.NewNDJSON(a.stdout)
		u.sink, u.json = r, true
	case a.quiet:
		u.sink = deploy.SinkFunc(func(deploy.Event) {})
	case kind == "tty":
		r := deploy.NewLive(a.stderr, errStyle, a.now)
		u.sink, u.close, u.pause = r, r.Close, r.Pause
	default:
		r := deploy.NewPlain(a.stderr, a.now)
		u.sink, u.close = r, r.Close
	}
	u.sink = u.stamped(u.sink)
	note := func(line string) { u.sink.Event(deploy.Event{Kind: deploy.KindNote, Detail: line}) }
	a.note.Store(&note)
	return u
}

// stamped gives events that have no time the present one.
func (u *ui) stamped(next deploy.Sink) deploy.Sink {
	return deploy.SinkFunc(func(e deploy.Event) {
		if e.Time.IsZero() {
			e.Time = u.a.now()
		}
		next.Event(e)
	})
}

// text is where the answer goes in words: nowhere when events replace it.
func (u *ui) text() io.Writer {
	if u.json {
		return io.Discard
	}
	return u.a.stdout
}

// end stops the renderer; a second call does nothing.
func (u *ui) end() {
	u.a.note.Store(nil)
	u.close()
	u.close = func() {}
}

// step tells what goes on before there is anything to show.
func (u *ui) step(what string) {
	u.sink.Event(deploy.Event{Kind: deploy.KindStep, Detail: what})
}

// confirm asks before something is changed. Without a terminal and without -y
// it refuses, exit 6.
func (a *app) confirm(question string) error {
	if a.yes {
		return nil
	}
	if !term.IsTerminal(a.stdin) {
		return &exitError{code: exitRefused, err: fmt.Errorf("%s\nthere is no terminal to answer on\nNext: the same command with -y", question)}
	}
	yes, err := term.Confirm(a.stdin, a.stderr, question)
	if err != nil {
		return err
	}
	if !yes {
		return &exitError{code: exitFailed, err: fmt.Errorf("nothing was changed")}
	}
	return nil
}
