package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/rollback"
)

// recordsAsked is how many release records a host is asked for, at least: all
// that it keeps, of systems and of the mesh alone.
const recordsAsked = 20

// inspectWidth bounds how many hosts are asked at once.
const inspectWidth = 32

// Seen is what one host said of itself before anything was changed.
type Seen struct {
	Host   string
	Facts  *rollback.Preflight // nil where it could not be asked
	Status *rollback.StatusAnswer
	First  bool   // a NixOS without nixmesh
	User   string // who logged in
	Err    error  // why it takes no part
}

// Unreachable says whether the host just does not answer (exit 7), in contrast
// to answering something that must not be acted on.
func (s *Seen) Unreachable() bool {
	if s.Err == nil {
		return false
	}
	var key *remote.HostKeyError
	var auth *remote.AuthError
	var l *LostError
	return errors.As(s.Err, &l) && !errors.As(s.Err, &key) && !errors.As(s.Err, &auth) && !errors.Is(s.Err, remote.ErrNoPin)
}

// openRun is the journal of a switch that is not over, nil where there is none:
// what runs then may not stay.
func (s *Seen) openRun() *rollback.JournalView {
	if s == nil || s.Facts == nil {
		return nil
	}
	if j := s.Facts.Journal; j != nil && j.Phase != rollback.PhaseNone && j.Phase != rollback.PhaseRooted && !j.Phase.Terminal() {
		return j
	}
	return nil
}

// openRelease is the release that is under way on the host: by its journal, or
// by the lease of a deployer that is alive. 0 where there is none.
func (s *Seen) openRelease() int {
	if j := s.openRun(); j != nil {
		return j.Release
	}
	n := 0
	if s.Facts != nil && s.Facts.Lease != nil && s.Facts.Lease.Age < rollback.LeaseStaleAfter.Seconds() {
		if _, err := fmt.Sscanf(s.Facts.Lease.Reason, "release %d", &n); err != nil {
			return 0
		}
	}
	return n
}

// settle takes what a host keeps, its profile, for what it runs while a switch
// is not over there: plans and records go by what was committed.
func (s *Seen) settle() {
	if s.openRun() != nil && s.Facts.Profile != "" {
		s.Facts.Current = s.Facts.Profile
	}
}

// Inspect asks hosts, in parallel, what they are and run, and collects the
// release records that they keep. It changes nothing.
func (d *Deployer) Inspect(ctx context.Context, hosts []string) (map[string]*Seen, *History) {
	seen := make(map[string]*Seen, len(hosts))
	for _, h := range hosts {
		seen[h] = &Seen{Host: h}
	}
	each(hosts, inspectWidth, func(h string) { d.inspect(ctx, seen[h]) })
	history := &History{}
	if err := d.Local.Read(history, d.Fleet.Name, d.Verify); err != nil {
		history.Ignored = append(history.Ignored, err.Error())
	}
	for _, h := range hosts {
		if seen[h].Status == nil {
			continue
		}
		for _, r := range seen[h].Status.Records {
			history.add(h, d.Fleet.Name, r, d.Verify)
		}
	}
	for _, s := range seen {
		s.settle()
	}
	history.witness(hostNames(d.Fleet), seen)
	return seen, history
}

// inspection is what all hosts said at one time.
type inspection struct {
	seen    map[string]*Seen
	history *History
}

// Prefetch starts to ask all hosts, for the next plan, while something else is
// done. The plan waits for it.
func (d *Deployer) Prefetch(ctx context.Context) {
	c := make(chan inspection, 1)
	d.mu.Lock()
	d.prefetched = c
	d.mu.Unlock()
	go func() { // ends with its answers: every call of it has a deadline
		seen, history := d.Inspect(ctx, hostNames(d.Fleet))
		c <- inspection{seen, history}
	}()
}

// inspectAll takes what was prefetched, once, or asks now.
func (d *Deployer) inspectAll(ctx context.Context) (map[string]*Seen, *History) {
	d.mu.Lock()
	c := d.prefetched
	d.prefetched = nil
	d.mu.Unlock()
	if c != nil {
		i := <-c
		return i.seen, i.history
	}
	return d.Inspect(ctx, hostNames(d.Fleet))
}

// inspect fills in one host.
func (d *Deployer) inspect(ctx context.Context, s *Seen) {
	l, err := d.link(s.Host)
	if err != nil {
		s.Err = err
		return
	}
	s.User = l.target.User
	if slices.Contains(d.First, s.Host) {
		d.inspectFirst(ctx, s, true)
		return
	}
	facts, status, err, statusErr := l.look(ctx, max(recordsAsked, 2*d.Fleet.KeepReleases))
	if d.FirstAny && noNixmesh(err) {
		d.inspectFirst(ctx, s, false)
		return
	}
	if err != nil {
		s.Err = err
		return
	}
	s.Facts = facts
	if s.Err = d.identify(s.Host, facts); s.Err != nil {
		return
	}
	if s.Err = statusErr; s.Err != nil {
		return
	}
	s.Status = status
}

// look asks for preflight and status at once, over one connection that is
// opened once: a host that is away is not waited for twice.
func (l *link) look(ctx context.Context, records int) (facts *rollback.Preflight, status *rollback.StatusAnswer, err, statusErr error) {
	if _, err := l.host(ctx); err != nil {
		return nil, nil, &LostError{Host: l.target.Name, Err: err}, nil
	}
	facts, status = &rollback.Preflight{}, &rollback.StatusAnswer{}
	var both sync.WaitGroup
	both.Go(func() {
		statusErr = l.call(ctx, rollback.VerbStatus, nil, rollback.StatusRequest{Records: records}, status)
	})
	err = l.call(ctx, rollback.VerbPreflight, nil, rollback.PreflightRequest{}, facts)
	both.Wait()
	return facts, status, err, statusErr
}

// noNixmesh says whether a failed preflight may mean that the host does not
// have nixmesh yet: nobody lets us in, or there is no helper.
func noNixmesh(err error) bool {
	var denied *remote.AuthError
	return errors.As(err, &denied) || errors.Is(err, ErrSudo)
}

// identify refuses a host that says it is another one.
func (d *Deployer) identify(host string, f *rollback.Preflight) error {
	switch {
	case f.Fleet != d.Fleet.Name:
		return d.wrongHost(host, fmt.Sprintf("is of fleet %q, not %q", f.Fleet, d.Fleet.Name))
	case f.Host != host:
		return d.wrongHost(host, fmt.Sprintf("is host %s of this fleet, not %s: were two addresses swapped?", f.Host, host))
	case f.Hostname != "" && f.Hostname != host:
		return d.wrongHost(host, fmt.Sprintf("calls itself %s, not %s", f.Hostname, host))
	case f.Protocol > hostfacts.Protocol:
		return &Error{Exit: ExitRefused, Next: "use nixmesh " + f.Version + " or newer",
			Err: fmt.Errorf("%s speaks host protocol %d, this nixmesh up to %d", host, f.Protocol, hostfacts.Protocol)}
	}
	if h := d.host(host); h != nil && f.System != "" && h.Config == "" && f.System != h.System {
		return d.wrongHost(host, fmt.Sprintf("is %s, the spec says %s", f.System, h.System))
	}
	return nil
}

func (d *Deployer) wrongHost(host, what string) error {
	address, place := "", ""
	if h := d.host(host); h != nil {
		address, place = h.Address, h.Place.String()
	}
	return &Error{Exit: ExitRefused, Err: fmt.Errorf("%s: what answers at %s %s", host, address, what),
		Next: "compare the addresses in " + place}
}
