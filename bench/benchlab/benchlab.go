// Package benchlab is what the measurements of a lab share: its hosts with their
// agents, changes of the mesh configuration at one of them, callers, and a report.
package benchlab

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/internal/testkit/labuser"
	"github.com/nixmesh/nixmesh/lab"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// Lab is a lab that runs. All its hosts have one clock: times can be compared.
type Lab struct {
	*lab.Lab
	Hosts    map[string]lab.HostStatus
	agents   map[string]*agentapi.Client
	operator trust.SSHKey
}

// Open finds the lab of a fleet's folder.
func Open(ctx context.Context, dir string) (*Lab, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	inner, err := lab.New(lab.Options{Fleet: dir, StateDir: filepath.Join(dir, ".nixmesh", "lab")})
	if err != nil {
		return nil, err
	}
	all, err := inner.Status(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := inner.Operator()
	if err != nil {
		return nil, err
	}
	l := &Lab{Lab: inner, Hosts: map[string]lab.HostStatus{}, agents: map[string]*agentapi.Client{}}
	if l.operator, err = trust.LoadSSHKey(keys.SSHKeyFile); err != nil {
		return nil, err
	}
	for _, h := range all {
		l.Hosts[h.Name] = h
		l.agents[h.Name] = agentapi.NewClient(func(ctx context.Context) (net.Conn, error) {
			return labuser.User{PID: h.PID}.DialContext(ctx, "unix", agentapi.Socket)
		})
	}
	return l, nil
}

// Agent asks a host's agent.
func (l *Lab) Agent(host string) *agentapi.Client { return l.agents[host] }

// User is a service's on a host.
func (l *Lab) User(host, service string) (labuser.User, error) {
	h, ok := l.Hosts[host]
	if !ok {
		return labuser.User{}, fmt.Errorf("the lab has no host %s", host)
	}
	return labuser.Find(h.PID, "nm-"+service)
}

// Change gives the agent of a host the next document, with a change of the
// configuration, and says when it began to.
func (l *Lab) Change(ctx context.Context, host string, change func(*mesh.Config)) (version int64, began time.Time, err error) {
	text, err := l.agents[host].Document(ctx, "")
	if err != nil {
		return 0, began, err
	}
	live, err := mesh.ParseDocument(text)
	if err != nil {
		return 0, began, err
	}
	hash := live.Hash() // before the change, which is made in place
	next := mesh.NextDocument(live, live.Config, live.Operator)
	change(next.Config)
	next.Parent = hash
	if err := next.Sign(func(namespace string, message []byte) (string, error) {
		return trust.Sign(l.operator.Signer, namespace, message)
	}); err != nil {
		return 0, began, err
	}
	document := next.Canonical()
	began = time.Now()
	applied, err := l.agents[host].Apply(ctx, document)
	if err == nil && applied.Result != agentapi.ApplyInForce {
		err = fmt.Errorf("the agent of %s: %s: %s", host, applied.Result, applied.Reason)
	}
	return next.Version, began, err
}

// Watch gives what a host's agent tells, with the time at which it came, until ctx
// ends. It returns when the agent takes the watch.
func (l *Lab) Watch(ctx context.Context, host string) <-chan Told {
	told := make(chan Told, 4096)
	go func() {
		defer close(told)
		for e, err := range l.agents[host].Watch(ctx) {
			if err != nil {
				fmt.Fprintln(os.Stderr, "bench: watch", host+":", err)
				return
			}
			told <- Told{e, time.Now()}
		}
	}()
	return told
}

// Told is an event and when it came.
type Told struct {
	agentapi.Event
	At time.Time
}

// Await gives the first event of a kind that is wanted, within ten seconds.
func Await(told <-chan Told, wanted func(Told) bool) (Told, error) {
	timeout := time.After(10 * time.Second)
	for {
		select {
		case e, open := <-told:
			if !open {
				return Told{}, fmt.Errorf("the agent ended its watch")
			}
			if wanted(e) {
				return e, nil
			}
		case <-timeout:
			return Told{}, fmt.Errorf("waited 10 s for an event in vain")
		}
	}
}

// Title prints what is measured, and the machine's load beside it.
func Title(text string) {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("? ? ?")
	}
	fmt.Printf("%s; load %s\n", text, strings.Join(strings.Fields(string(load))[:3], " "))
}

// Report prints one line of a table.
func Report(what string, all []time.Duration) {
	if len(all) == 0 {
		fmt.Printf("%-28s nothing\n", what)
		return
	}
	slices.Sort(all)
	at := func(part float64) time.Duration {
		return all[int(part*float64(len(all)-1))].Round(10 * time.Microsecond)
	}
	fmt.Printf("%-28s n %d  p50 %s  p90 %s  p99 %s  max %s\n", what, len(all), at(0.5), at(0.9), at(0.99), at(1))
}
