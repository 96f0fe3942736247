package deploy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/spec"
	"github.com/nixmesh/nixmesh/trust"
)

// caFleet is a deployer with a real root, and hosts whose agents do what an
// agent does with an intermediate.
type caFleet struct {
	t      *testing.T
	d      *Deployer
	root   trust.Root
	now    time.Time
	opened int
	closed error // the root cannot be opened
	agents map[string]*caAgent
	notes  []string

	mu sync.Mutex // guards notes
}

// caAgent is one authority's agent.
type caAgent struct {
	fleet   *caFleet
	host    string
	pending *trust.AuthorityRequest
	has     *x509.Certificate
	readyAt time.Time // before that it has no document
	lose    bool      // the next answer to an installed intermediate is lost
	away    error     // it cannot be reached
}

func newCAFleet(t *testing.T, hosts ...string) *caFleet {
	t.Helper()
	f := &caFleet{t: t, now: time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC), agents: map[string]*caAgent{}}
	var err error
	if f.root, err = trust.NewRoot("shop", f.now); err != nil {
		t.Fatal(err)
	}
	roots, err := trust.NewBundle(f.root.Domain, f.root.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		f.agents[host] = &caAgent{fleet: f, host: host}
	}
	f.d = &Deployer{Fleet: &spec.Fleet{Name: "shop"}, Now: func() time.Time { return f.now },
		Events: SinkFunc(func(e Event) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.notes = append(f.notes, e.Host+": "+e.Detail)
		})}
	f.d.CA = &CA{Roots: roots, Authorities: hosts, TTL: trust.IntermediateTTL, Able: []string{"anna"},
		Open: func(context.Context) (trust.Root, error) { f.opened++; return f.root, f.closed },
		agent: func(_ context.Context, host string) (authorityAgent, error) {
			if a := f.agents[host]; a.away != nil {
				return nil, a.away
			}
			return f.agents[host], nil
		},
	}
	return f
}

func (a *caAgent) Close() {}

func (a *caAgent) Certs(context.Context) (*agentapi.Certs, error) {
	c := &agentapi.Certs{Host: a.host, Requested: a.pending != nil}
	if a.has != nil {
		c.Authority = &agentapi.Cert{Name: trust.CAName(a.has), From: a.has.NotBefore, Until: a.has.NotAfter, Issuer: trust.CAName(a.fleet.root.Certificate)}
	}
	return c, nil
}

func (a *caAgent) AuthorityRequest(context.Context) (*agentapi.AuthorityRequest, error) {
	if a.pending == nil {
		r, err := trust.NewAuthorityRequest(a.host)
		if err != nil {
			return nil, err
		}
		a.pending = &r
	}
	return &agentapi.AuthorityRequest{Host: a.host, Request: string(a.pending.PEM())}, nil
}

func (a *caAgent) InstallAuthority(_ context.Context, pem []byte) error {
	if time.Now().Before(a.readyAt) {
		return errors.New("there is no mesh configuration yet")
	}
	if a.pending == nil {
		return errors.New("this host asked for none")
	}
	taken, err := a.pending.Accept(pem, a.fleet.d.CA.Roots, a.fleet.now)
	if err != nil {
		return err
	}
	a.has, a.pending = taken.Certificate, nil
	if a.lose {
		a.lose = false
		return &LostError{Host: a.host, Err: errors.New("connection reset")}
	}
	return nil
}

// endsOf are the results, "db1 signed, db2 current".
func endsOf(results []AuthorityResult) string {
	var words []string
	for _, r := range results {
		words = append(words, r.Host+" "+string(r.End))
	}
	return strings.Join(words, ", ")
}

func TestRenewAuthorities(t *testing.T) {
	ctx := t.Context()
	f := newCAFleet(t, "db1", "db2")
	both := RenewOptions{Hosts: []string{"db1", "db2"}}
	if got := endsOf(f.d.RenewAuthorities(ctx, both)); got != "db1 signed, db2 signed" || f.opened != 1 {
		t.Fatalf("new: %s, opened %d times", got, f.opened)
	}
	if got := endsOf(f.d.RenewAuthorities(ctx, both)); got != "db1 current, db2 current" || f.opened != 1 {
		t.Errorf("nothing due: %s, opened %d times", got, f.opened)
	}
	before := f.agents["db1"].has
	f.now = f.now.Add(10 * time.Hour)
	got := f.d.RenewAuthorities(ctx, RenewOptions{Hosts: []string{"db1"}, All: true})
	if endsOf(got) != "db1 signed" || f.agents["db1"].has.Equal(before) || !got[0].Until.Equal(f.now.Add(trust.IntermediateTTL)) {
		t.Errorf("asked for: %+v", got)
	}
	f.now = f.now.Add(trust.IntermediateTTL/2 - 5*time.Hour)
	if got := endsOf(f.d.RenewAuthorities(ctx, both)); got != "db1 current, db2 signed" {
		t.Errorf("past half of the life of db2's: %s", got)
	}
	f.now = f.now.Add(trust.IntermediateTTL)
	if got := endsOf(f.d.RenewAuthorities(ctx, both)); got != "db1 signed, db2 signed" {
		t.Errorf("expired: %s", got)
	}
}

// An authority of a root that the fleet dropped gets another intermediate.
func TestRenewAuthorityOfAnotherRoot(t *testing.T) {
	f := newCAFleet(t, "db1")
	f.d.RenewAuthorities(t.Context(), RenewOptions{Hosts: []string{"db1"}})
	old := *f.agents["db1"]
	next, err := trust.NextRoot("shop", f.root.Domain, f.now)
	if err != nil {
		t.Fatal(err)
	}
	certs, _ := old.Certs(t.Context())
	if f.d.CA.Roots, err = trust.NewBundle(f.root.Domain, next.Certificate); err != nil {
		t.Fatal(err)
	}
	if due := f.d.CA.due(certs.Authority, f.now); !strings.Contains(due, "which is no root of the fleet") {
		t.Errorf("due: %q", due)
	}
}

// A root that is closed here is no failure of a deploy: the note says who opens
// it, and until when nothing is lost.
func TestRenewWithAClosedRoot(t *testing.T) {
	f := newCAFleet(t, "db1", "db2")
	f.d.RenewAuthorities(t.Context(), RenewOptions{Hosts: []string{"db1"}})
	f.now = f.now.Add(200 * 24 * time.Hour)
	f.closed = errors.New("secrets/ca-root.age is for other keys than bert's")
	f.d.renewAuthorities(t.Context(), []string{"app1", "db1", "db2"})
	want := []string{
		"db1: needs an intermediate (the one before ends 2027-11-21), and the CA's root cannot be opened here: secrets/ca-root.age is for other keys than bert's; next: nixmesh ca renew, by anna",
		"db2: needs an intermediate (none before that), and the CA's root cannot be opened here: secrets/ca-root.age is for other keys than bert's; next: nixmesh ca renew, by anna",
	}
	if got := fmt.Sprintf("%q", f.notes); got != fmt.Sprintf("%q", want) {
		t.Errorf("got %s", got)
	}
}

// The agent of a host that was just switched may have no document yet.
func TestRenewWaitsForTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newCAFleet(t, "db1", "db2")
		f.agents["db1"].readyAt = time.Now().Add(7 * time.Second)
		f.agents["db2"].readyAt = time.Now().Add(time.Hour)
		start := time.Now()
		f.d.renewAuthorities(t.Context(), []string{"db1", "db2"})
		if took := time.Since(start); took > agentPatience+3*time.Second {
			t.Errorf("took %s", took)
		}
		if f.agents["db1"].has == nil || f.agents["db2"].has != nil {
			t.Error("db1 has none, or db2 has one")
		}
		got := strings.Join(f.notes, "\n")
		if !strings.Contains(got, "db1: signs certificates as shop CA (db1) until 2027-11-21") ||
			!strings.Contains(got, "db2: did not take an intermediate (none before that): install intermediate: there is no mesh configuration yet; next: nixmesh ca renew") {
			t.Errorf("got %s", got)
		}
	})
}

// An intermediate whose answer was lost was taken all the same.
func TestRenewWithALostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newCAFleet(t, "db1")
		for _, all := range []bool{false, true} {
			f.agents["db1"].lose = true
			r := f.d.RenewAuthorities(t.Context(), RenewOptions{Hosts: []string{"db1"}, Wait: time.Second, All: all})[0]
			if r.End != AuthoritySigned && (all || r.End != AuthorityCurrent) || r.Error != "" || r.Exit() != ExitDone || f.agents["db1"].has == nil {
				t.Errorf("all %v: %+v", all, r)
			}
			f.now = f.now.Add(time.Hour)
		}
		f.agents["db1"].away = &LostError{Host: "db1", Err: errors.New("no route to host")}
		start := time.Now()
		r := f.d.RenewAuthorities(t.Context(), RenewOptions{Hosts: []string{"db1"}, Wait: time.Minute})[0]
		if r.End != AuthorityFailed || r.Exit() != ExitUnreachable || time.Since(start) > 5*time.Second {
			t.Errorf("away: %+v after %s", r, time.Since(start))
		}
	})
}
