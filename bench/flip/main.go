// Command flip measures how long callers on another host go on to call a copy of a
// service whose health has changed: from the moment at which the copy answers the
// check of its host's agent so to the first request that goes elsewhere for good.
//
// The fleet guards itself against what flaps: a copy that falls for the third time
// within a minute, or gets well too often, is not believed at once. So many copies
// turn in turn, none of them before it has rested.
//
//	nixmesh -C bench/fleet lab up && nixmesh -C bench/fleet --lab deploy -y
//	go run ./bench/flip bench/fleet
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/nixmesh/nixmesh/bench/benchlab"
)

const (
	// rest is how long a copy is left alone after it turned. In the catalog a
	// recovery counts for half after a minute, and three are too many.
	rest = 40 * time.Second

	versions = 13                   // of back in bench/fleet, each on b and c
	every    = 4 * time.Millisecond // from one request of a caller to the next; there are two
	stay     = 100 * time.Millisecond
)

func main() { benchlab.Main("flip", "flips to unhealthy", run) }

// turning is one copy of the service, which can be made ill.
type turning struct {
	host, version string
	process       int          // in this machine's numbers
	client        *http.Client // on its host
	turned        string       // URL: when a check saw first what its health is now
	ill           bool
	last          time.Time // when it turned
}

func run(ctx context.Context, dir string, n int) (err error) {
	l, err := benchlab.Open(ctx, dir)
	if err != nil {
		return err
	}
	front, err := l.User("a", "front")
	if err != nil {
		return err
	}
	copies, err := copiesOf(l, dir)
	if err != nil {
		return err
	}
	defer func() { // what is ill gets well
		for _, c := range copies {
			if c.ill {
				err = errors.Join(err, c.turn())
			}
		}
	}()
	client := front.Client(false)
	var left, again []time.Duration
	var failed []error
	for i := range n {
		c := copies[i%len(copies)]
		if err := benchlab.Sleep(ctx, time.Until(c.last.Add(rest))); err != nil {
			return err
		}
		url := "http://back.mesh/" + c.version + "/"
		load := benchlab.Ask(ctx, []benchlab.Caller{{Name: "1", Client: client, URL: url, Every: every}, {Name: "2", Client: client, URL: url, Every: every, After: every / 2}})
		away, back, err := c.flip(ctx, load)
		failed = append(failed, load.Stop()...)
		if err != nil {
			return errors.Join(fmt.Errorf("flip %d, of %s on %s: %w", i+1, c.version, c.host, err), errors.Join(failed[:min(3, len(failed))]...))
		}
		left, again = append(left, away), append(again, back)
	}
	benchlab.Title(fmt.Sprintf("%d flips of %d copies on two hosts; %d requests failed", n, len(copies), len(failed)))
	benchlab.Report("unhealthy: first elsewhere", left)
	benchlab.Report("healthy: first request there", again)
	return errors.Join(failed[:min(3, len(failed))]...)
}

// copiesOf are all copies of back.
func copiesOf(l *benchlab.Lab, dir string) ([]*turning, error) {
	var copies []*turning
	for _, host := range []string{"b", "c"} {
		user, err := l.User(host, "back")
		if err != nil {
			return nil, err
		}
		client := user.Client(false)
		for i := range versions {
			c := &turning{host: host, version: fmt.Sprint("v", i+1), client: client}
			port, err := benchlab.Port(dir, "back@"+c.version)
			if err != nil {
				return nil, err
			}
			if c.process, err = l.Process(host, "back@"+c.version); err != nil {
				return nil, err
			}
			c.turned = fmt.Sprintf("http://127.0.0.1:%d/turned", port)
			copies = append(copies, c)
		}
	}
	return copies, nil
}

// flip makes a copy ill and well again, and says how long callers took to follow.
func (c *turning) flip(ctx context.Context, load *benchlab.Load) (away, back time.Duration, err error) {
	if err := benchlab.Sleep(ctx, stay); err != nil { // the callers are at work
		return 0, 0, err
	}
	here := func(a benchlab.Asked) bool { return strings.HasSuffix(a.By, " on "+c.host) }
	seen, err := c.turnAndSee(ctx)
	if err != nil {
		return 0, 0, err
	}
	turns, err := load.Turns(ctx, seen, stay, here)
	if err != nil {
		return 0, 0, err
	}
	for _, t := range turns {
		away = max(away, t.First)
	}
	if seen, err = c.turnAndSee(ctx); err != nil {
		return 0, 0, err
	}
	back, err = load.First(ctx, seen, here)
	return away, back, err
}

// turn turns the copy's health around.
func (c *turning) turn() error {
	c.ill, c.last = !c.ill, time.Now()
	return syscall.Kill(c.process, syscall.SIGUSR1)
}

// turnAndSee turns the copy's health around, and says when a check saw it.
func (c *turning) turnAndSee(ctx context.Context) (seen time.Time, err error) {
	before := time.Now()
	if err := c.turn(); err != nil {
		return seen, err
	}
	for !seen.After(before) {
		if time.Since(before) > 10*time.Second {
			return seen, errors.New("no check saw its health turn within 10 s")
		}
		if err := benchlab.Sleep(ctx, 10*time.Millisecond); err != nil {
			return seen, err
		}
		response, err := c.client.Get(c.turned)
		if err != nil {
			return seen, err
		}
		var ns int64
		_, err = fmt.Fscan(response.Body, &ns)
		response.Body.Close()
		if err != nil {
			return seen, err
		}
		seen = time.Unix(0, ns)
	}
	return seen, nil
}
