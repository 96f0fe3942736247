package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// app is what every command shares: the process's streams and environment,
// and the flags of the root command.
type app struct {
	stdin  io.Reader
	stdout io.Writer // the answer
	stderr io.Writer // progress, warnings
	getenv func(string) string
	now    func() time.Time

	dir      string   // -C
	lab      bool     // --lab
	vars     []string // --var NAME=VALUE
	on       string   // --on SELECTOR, of the commands that select hosts
	selected bool     // --on was typed: it is not of the environment
	output   string   // -o text|wide|json
	json     bool     // --json = -o json
	progress string   // tty|plain|json, "" = by terminal
	quiet    bool
	verbose  bool
	yes      bool

	// note says one line while a command goes on, where the person who watches
	// sees it: above a live region, or on stderr. A signal uses it, too.
	note atomic.Pointer[func(string)]
}

// tell says one line to whoever watches.
func (a *app) tell(line string) {
	if note := a.note.Load(); note != nil {
		(*note)(line)
		return
	}
	fmt.Fprintln(a.stderr, line)
}

// isJSON says whether the answer is wanted as JSON.
func (a *app) isJSON() bool { return a.json || a.output == "json" }
