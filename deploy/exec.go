package deploy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/remote"
)

// ExecResult is how a command ended on one host.
type ExecResult struct {
	Host   string `json:"host"`
	Status int    `json:"status"` // -1 = unknown
	Error  string `json:"error,omitempty"`
}

// Exec runs a command on hosts at once. Each line of output carries the host's
// name when there are several. The streams may be the same writer.
func (d *Deployer) Exec(ctx context.Context, hosts, argv []string, stdout, stderr io.Writer) []ExecResult {
	var mu sync.Mutex
	width := 0
	for _, h := range hosts {
		width = max(width, len(h))
	}
	results := make([]ExecResult, len(hosts))
	index := map[string]int{}
	for i, h := range hosts {
		index[h] = i
	}
	each(hosts, inspectWidth, func(h string) {
		prefix := ""
		if len(hosts) > 1 {
			prefix = term.Pad(h, width) + "  "
		}
		out := &prefixer{mu: &mu, w: stdout, prefix: prefix}
		errs := &prefixer{mu: &mu, w: stderr, prefix: prefix}
		r := ExecResult{Host: h, Status: -1}
		status, err := d.exec(ctx, h, argv, out, errs)
		out.flush()
		errs.flush()
		if err != nil {
			r.Error = err.Error()
		} else {
			r.Status = status
		}
		results[index[h]] = r
	})
	return results
}

func (d *Deployer) exec(ctx context.Context, host string, argv []string, stdout, stderr io.Writer) (int, error) {
	l, err := d.link(host)
	if err != nil {
		return -1, err
	}
	c, err := l.host(ctx)
	if err != nil {
		return -1, &LostError{Host: host, Err: err}
	}
	line := remote.Quote(argv...)
	if len(argv) == 1 {
		line = argv[0]
	}
	status, err := c.Run(ctx, remote.Command{Line: line, Stdout: stdout, Stderr: stderr})
	if err != nil {
		return -1, fmt.Errorf("%s: %w", host, err)
	}
	return status, nil
}

// ExecExit is the exit code of an exec: the highest status of the command, else
// unreachable hosts.
func ExecExit(results []ExecResult) Exit {
	worst := Exit(0)
	for _, r := range results {
		if r.Status > int(worst) {
			worst = Exit(r.Status)
		}
	}
	if worst != 0 {
		return worst
	}
	for _, r := range results {
		if r.Error != "" {
			return ExitUnreachable
		}
	}
	return ExitDone
}

// prefixer puts a prefix before each whole line, so that hosts do not mix
// within one.
type prefixer struct {
	mu     *sync.Mutex // guards w, shared by all hosts
	w      io.Writer
	prefix string
	rest   []byte
}

// Write passes whole lines on and keeps the rest.
func (p *prefixer) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	for {
		i := bytes.IndexByte(p.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		if err := p.line(p.rest[:i+1]); err != nil {
			return 0, err
		}
		p.rest = p.rest[i+1:]
	}
}

func (p *prefixer) line(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.w.Write(append([]byte(p.prefix), b...))
	return err
}

// flush passes on a last line without an end.
func (p *prefixer) flush() {
	if len(p.rest) > 0 {
		_ = p.line(append(p.rest, '\n'))
		p.rest = nil
	}
}
