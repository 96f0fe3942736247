// Command change measures how long a change takes from one host of a lab to the
// agents of all: an operator's override that is put to one agent, and the record
// with which that agent then says that its service drains. All hosts of a lab
// have one clock, so arrivals at their sockets can be compared.
//
//	nixmesh lab up && nixmesh --lab deploy -y
//	go run ./bench/change -n 1000 .
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/lab"
	"github.com/nixmesh/nixmesh/trust"
)

func main() {
	n := flag.Int("n", 500, "changes")
	service := flag.String("service", "web", "service, whose hosts take turns")
	flag.Parse()
	dir := "."
	if flag.NArg() > 0 {
		dir = flag.Arg(0)
	}
	if err := run(context.Background(), dir, *service, *n); err != nil {
		fmt.Fprintln(os.Stderr, "change:", err)
		os.Exit(1)
	}
}

// arrival is an event at one agent's socket.
type arrival struct {
	host  string
	event agentapi.Event
	at    time.Time
}

// bench is the lab's agents, each with a watch.
type bench struct {
	hosts    []string
	runs     []string // the service, of them
	clients  map[string]*agentapi.Client
	arrivals chan arrival
	operator trust.SSHKey
	service  string
}

func run(ctx context.Context, dir, service string, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b, err := open(ctx, dir, service)
	if err != nil {
		return err
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return fmt.Errorf("read load: %w", err)
	}
	var overrides, records []time.Duration
	for i := range n {
		o, r, err := b.change(ctx, b.runs[i/2%len(b.runs)], i%2 == 1)
		if err != nil {
			return fmt.Errorf("change %d: %w", i+1, err)
		}
		overrides, records = append(overrides, o), append(records, r)
		time.Sleep(10*time.Millisecond + rand.N(20*time.Millisecond)) // so that none rides along with another
	}
	fmt.Printf("%d changes, until the last of %d agents; load %s\n", n, len(b.hosts), strings.Join(strings.Fields(string(load))[:3], " "))
	report("override", overrides)
	report("record", records)
	return nil
}

func report(what string, all []time.Duration) {
	slices.Sort(all)
	at := func(part float64) time.Duration {
		return all[int(part*float64(len(all)-1))].Round(10 * time.Microsecond)
	}
	fmt.Printf("%-9s p50 %s  p90 %s  p99 %s  max %s\n", what, at(0.5), at(0.9), at(0.99), at(1))
}

func open(ctx context.Context, dir, service string) (*bench, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	l, err := lab.New(lab.Options{Fleet: dir, StateDir: filepath.Join(dir, ".nixmesh", "lab")})
	if err != nil {
		return nil, err
	}
	all, err := l.Status(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := l.Operator()
	if err != nil {
		return nil, err
	}
	b := &bench{clients: map[string]*agentapi.Client{}, arrivals: make(chan arrival, 1024), service: service}
	if b.operator, err = trust.LoadSSHKey(keys.SSHKeyFile); err != nil {
		return nil, err
	}
	for _, h := range all {
		socket := filepath.Join("/proc", strconv.Itoa(h.PID), "root", agentapi.Socket)
		b.hosts = append(b.hosts, h.Name)
		b.clients[h.Name] = agentapi.NewClient(func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		})
		go b.watch(ctx, h.Name)
	}
	time.Sleep(time.Second) // the watches begin
	b.runs, err = b.hostsOf(ctx, service)
	return b, err
}

// hostsOf are the hosts that run a service, as one agent sees it.
func (b *bench) hostsOf(ctx context.Context, service string) ([]string, error) {
	status, err := b.clients[b.hosts[0]].Status(ctx)
	if err != nil {
		return nil, err
	}
	var hosts []string
	for _, s := range status.Services {
		for _, e := range s.Endpoints {
			if s.Name == service && !slices.Contains(hosts, e.Host) {
				hosts = append(hosts, e.Host)
			}
		}
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("no host runs %s", service)
	}
	return hosts, nil
}

// watch hands on what an agent tells until ctx ends.
func (b *bench) watch(ctx context.Context, host string) {
	for e, err := range b.clients[host].Watch(ctx) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "change:", host, err)
			os.Exit(1)
		}
		b.arrivals <- arrival{host, e, time.Now()}
	}
}

// change drains the service on a host, or takes that back, and says how long it
// took until all agents knew of the override and of the host's record.
func (b *bench) change(ctx context.Context, host string, back bool) (override, record time.Duration, err error) {
	subject := "drain/" + host + "/" + b.service
	o, err := catalog.Seal(catalog.Override{
		Kind: catalog.Drain, Host: host, Service: b.service, Cleared: back, Stamp: catalog.HLC{}.After(time.Now(), "lab"),
	}, func(message []byte) ([]byte, error) {
		s, err := trust.Sign(b.operator.Signer, "nixmesh-override", message)
		return []byte(s), err
	})
	if err != nil {
		return 0, 0, err
	}
	inForce := "in force"
	if back {
		inForce = "over"
	}
	for len(b.arrivals) > 0 { // of the change before
		<-b.arrivals
	}
	began := time.Now()
	if err := b.clients[host].Override(ctx, o.Bytes()); err != nil {
		return 0, 0, err
	}
	var overrides, records []string
	timeout := time.After(10 * time.Second)
	for len(overrides) < len(b.hosts) || len(records) < len(b.hosts) {
		var a arrival
		select {
		case a = <-b.arrivals:
		case <-timeout:
			return 0, 0, fmt.Errorf("after 10 s only %v told of the override and %v of the record", overrides, records)
		}
		switch e := a.event; {
		case e.Kind == agentapi.EventOverride && strings.HasPrefix(e.Detail, subject) && e.State == inForce && !slices.Contains(overrides, a.host):
			overrides, override = append(overrides, a.host), a.at.Sub(began)
		case e.Kind == agentapi.EventService && e.Host == host && e.Service == b.service && !slices.Contains(records, a.host):
			records, record = append(records, a.host), a.at.Sub(began)
		}
	}
	return override, record, nil
}
