// Command split measures how long a change of shares takes from an operator's put
// until the last Envoy of the shop that calls the service follows: requests leave
// from each host with a caller, again and again, and the first after the last that
// still went to the version before counts. When the agents act on the document is
// told beside it.
//
//	nixmesh lab up && nixmesh --lab deploy -y
//	go run ./bench/split .
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/bench/benchlab"
	"github.com/nixmesh/nixmesh/mesh"
)

const (
	every = 4 * time.Millisecond // from one request of a caller to the next
	stay  = 100 * time.Millisecond
	at    = "db1" // where changes are put
)

func main() { benchlab.Main("split", "changes", run) }

func run(ctx context.Context, dir string, n int) (err error) {
	l, err := benchlab.Open(ctx, dir)
	if err != nil {
		return err
	}
	callers, err := callersOf(l)
	if err != nil {
		return err
	}
	m := &measured{lab: l, told: map[string]<-chan benchlab.Told{}, acts: times{}, envoys: times{}}
	for host := range l.Hosts {
		m.told[host] = l.Watch(ctx, host)
	}
	defer func() { // it ends as it began
		if m.before != nil {
			_, _, e := l.Change(context.WithoutCancel(ctx), at, m.share(m.before))
			err = errors.Join(err, e)
		}
	}()
	m.load = benchlab.Ask(ctx, callers)
	for i := range n {
		if err = m.change(ctx, i%2 == 1); err != nil {
			err = fmt.Errorf("change %d: %w", i+1, err)
			break
		}
	}
	failed := m.load.Stop()
	if err != nil {
		return errors.Join(err, errors.Join(failed[:min(3, len(failed))]...))
	}
	benchlab.Title(fmt.Sprintf("%d changes of a split, put to the agent of %s; %d requests failed", n, at, len(failed)))
	m.acts.report("acts on it: ")
	m.envoys.report("Envoy follows: ")
	return errors.Join(failed[:min(3, len(failed))]...)
}

// times are by host, and of the last host each time.
type times map[string][]time.Duration

const last = "last of them"

func (t times) add(all map[string]time.Duration) {
	slowest := time.Duration(0)
	for host, took := range all {
		t[host] = append(t[host], took)
		slowest = max(slowest, took)
	}
	t[last] = append(t[last], slowest)
}

func (t times) report(what string) {
	for _, host := range slices.Sorted(maps.Keys(t)) {
		benchlab.Report(what+host, t[host])
	}
}

// measured is what was seen until now.
type measured struct {
	lab          *benchlab.Lab
	load         *benchlab.Load
	told         map[string]<-chan benchlab.Told // by agents
	before       map[string]mesh.Percent         // the first change
	acts, envoys times
}

// share is a change to other shares of api.
func (m *measured) share(to map[string]mesh.Percent) func(*mesh.Config) {
	return func(c *mesh.Config) {
		if m.before == nil {
			m.before = c.Services["api"].Split
		}
		c.Services["api"].Split = to
	}
}

// change sends all calls to the other version. The one from the split that was there
// is as good as any: some calls went to what is now the old version.
func (m *measured) change(ctx context.Context, back bool) error {
	to, old := map[string]mesh.Percent{"v1": 0, "v2": 100}, "api@v1 "
	if back {
		to, old = map[string]mesh.Percent{"v1": 100, "v2": 0}, "api@v2 "
	}
	version, put, err := m.lab.Change(ctx, at, m.share(to))
	if err != nil {
		return err
	}
	turns, err := m.load.Turns(ctx, put, stay, func(a benchlab.Asked) bool { return strings.HasPrefix(a.By, old) })
	if err != nil {
		return err
	}
	envoys, acts := map[string]time.Duration{}, map[string]time.Duration{}
	for host, t := range turns {
		envoys[host] = t.First
	}
	for host := range m.told {
		e, err := benchlab.Await(m.told[host], func(e benchlab.Told) bool { return e.Kind == agentapi.EventDocument && e.State == fmt.Sprint(version) })
		if err != nil {
			return fmt.Errorf("%s: %w", host, err)
		}
		acts[host] = e.At.Sub(put)
	}
	m.envoys.add(envoys)
	m.acts.add(acts)
	return nil
}

// callersOf are web on both app hosts, and a customer of the gateway.
func callersOf(l *benchlab.Lab) ([]benchlab.Caller, error) {
	var callers []benchlab.Caller
	for _, host := range []string{"app1", "app2"} {
		web, err := l.User(host, "web")
		if err != nil {
			return nil, err
		}
		callers = append(callers, benchlab.Caller{Name: host, Client: web.Client(false), URL: "http://api.mesh/echo/", Every: every})
	}
	root, err := os.ReadFile(l.CAPath())
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	edge := net.JoinHostPort(l.Hosts["edge1"].Address, "443")
	outside := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "shop.example"},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, edge)
		},
	}}
	return append(callers, benchlab.Caller{Name: "edge1", Client: outside, URL: "https://shop.example/api/echo/", Every: every}), nil
}
