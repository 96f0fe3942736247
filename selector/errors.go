package selector

import (
	"fmt"
	"slices"
	"strings"
)

// SyntaxError is a selector that cannot be read.
type SyntaxError struct {
	Term   string // the entry, "" = the whole
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("read selector %q: %s", e.Term, e.Reason)
}

// NoMatchError is a selector, or one term of it, that names no host. It holds
// what exists, so that every caller can list it.
type NoMatchError struct {
	Term  string
	Hosts []string // sorted
	Tags  []string // sorted, without "@"
}

func (e *NoMatchError) Error() string {
	return fmt.Sprintf("%q matches no host; %s", e.Term, e.Known())
}

// Known lists the hosts and tags that exist, as a clause.
func (e *NoMatchError) Known() string {
	if len(e.Hosts) == 0 {
		return "the fleet has no hosts"
	}
	known := "hosts: " + strings.Join(e.Hosts, ", ")
	if len(e.Tags) > 0 {
		known += "; tags: @" + strings.Join(e.Tags, ", @")
	}
	return known
}

func noMatch(text string, hosts []Host) *NoMatchError {
	e := &NoMatchError{Term: text}
	for _, h := range hosts {
		e.Hosts = append(e.Hosts, h.Name)
		e.Tags = append(e.Tags, h.Tags...)
	}
	slices.Sort(e.Hosts)
	slices.Sort(e.Tags)
	e.Hosts, e.Tags = slices.Compact(e.Hosts), slices.Compact(e.Tags)
	return e
}
