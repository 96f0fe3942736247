// Command permission measures how long a service goes on to be called, on
// connections that are kept, when a change of the mesh configuration has taken the
// permission, and how long it is refused when the change gave it back: until the
// first request that is answered anew for good, from the moment at which an operator
// puts the document to an agent, and from the one at which the agent of the called
// host acts on it.
//
// At a low rate the requests of one connection are too far apart to tell: many
// connections of that rate take turns.
//
//	nixmesh -C bench/fleet lab up && nixmesh -C bench/fleet --lab deploy -y
//	go run ./bench/permission bench/fleet
package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/bench/benchlab"
	"github.com/nixmesh/nixmesh/internal/testkit/labuser"
	"github.com/nixmesh/nixmesh/mesh"
)

func main() { benchlab.Main("permission", "changes at each rate", run) }

// rates are how often a connection is used, and how many connections are.
var rates = []struct{ each, connections int }{{2, 50}, {300, 1}}

func run(ctx context.Context, dir string, n int) (err error) {
	l, err := benchlab.Open(ctx, dir)
	if err != nil {
		return err
	}
	front, err := l.User("a", "front")
	if err != nil {
		return err
	}
	told := l.Watch(ctx, "b")
	defer func() { // it ends as it began
		_, _, e := l.Change(context.WithoutCancel(ctx), "b", allow("/open/"))
		err = errors.Join(err, e)
	}()
	benchlab.Title(fmt.Sprintf("%d changes of a permission, until it acts on kept connections", n))
	for _, rate := range rates {
		m := &measured{lab: l, told: told, load: benchlab.Ask(ctx, callers(front, rate.each, rate.connections))}
		for i := range n {
			if err = m.change(ctx, i%2 == 0); err != nil {
				err = fmt.Errorf("change %d: %w", i+1, err)
				break
			}
		}
		err = errors.Join(err, errors.Join(m.load.Stop()...))
		if err != nil {
			return fmt.Errorf("at %d requests/s: %w", rate.each, err)
		}
		fmt.Printf("%d requests/s on each of %d connections, %d of which were opened meanwhile\n", rate.each, rate.connections, m.load.Connections())
		benchlab.Report("  since the host acts on it", m.sinceActs)
		benchlab.Report("  since the operator's put", m.sincePut)
		benchlab.Report("    and not before", m.notBefore)
	}
	return nil
}

// callers have a connection each, and take turns.
func callers(user labuser.User, each, connections int) []benchlab.Caller {
	var all []benchlab.Caller
	every := time.Second / time.Duration(each)
	for i := range connections {
		all = append(all, benchlab.Caller{
			Name: fmt.Sprint(i), Client: user.Client(false), URL: "http://single.mesh/open/",
			Every: every, After: every * time.Duration(i) / time.Duration(connections),
		})
	}
	return all
}

// allow is a change after which front may call a path, and nothing else.
func allow(path string) func(*mesh.Config) {
	return func(c *mesh.Config) { c.Services["single"].Allows[0].Paths[0].Text = path }
}

// measured is what was seen at one rate.
type measured struct {
	lab  *benchlab.Lab
	told <-chan benchlab.Told // by the called host's agent
	load *benchlab.Load

	sinceActs, sincePut []time.Duration // until the first new answer came
	notBefore           []time.Duration // since the put, when the last old answer was asked for
}

// change takes the permission or gives it.
func (m *measured) change(ctx context.Context, take bool) error {
	path, want := "/open/", http.StatusOK
	if take {
		path, want = "/shut/", http.StatusForbidden
	}
	if err := benchlab.Sleep(ctx, 50*time.Millisecond+rand.N(50*time.Millisecond)); err != nil {
		return err
	}
	if len(m.sincePut) == 0 { // the callers are to have their connections
		if _, err := m.load.Turns(ctx, time.Now(), 0, func(benchlab.Asked) bool { return false }); err != nil {
			return err
		}
		m.load.Connections()
	}
	version, put, err := m.lab.Change(ctx, "b", allow(path))
	if err != nil {
		return err
	}
	acts, err := benchlab.Await(m.told, func(e benchlab.Told) bool {
		return e.Kind == agentapi.EventDocument && e.State == fmt.Sprint(version)
	})
	if err != nil {
		return err
	}
	turns, err := m.load.Turns(ctx, put, 0, func(a benchlab.Asked) bool { return a.Status != want })
	if err != nil {
		return err
	}
	// It acts for all connections at once: not before the last old answer was asked
	// for, nor after the first new one came.
	last, first := time.Duration(0), time.Duration(math.MaxInt64)
	for _, t := range turns {
		last, first = max(last, t.Last), min(first, t.First)
	}
	first = max(first, last)
	m.sincePut, m.notBefore = append(m.sincePut, first), append(m.notBefore, last)
	m.sinceActs = append(m.sinceActs, max(0, first-acts.At.Sub(put)))
	return nil
}
