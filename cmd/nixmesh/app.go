package main

import (
	"io"
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
	on       string   // --on SELECTOR
	output   string   // -o text|wide|json
	json     bool     // --json = -o json
	progress string   // tty|plain|json, "" = by terminal
	quiet    bool
	verbose  bool
	yes      bool
}

// isJSON says whether the answer is wanted as JSON.
func (a *app) isJSON() bool { return a.json || a.output == "json" }
