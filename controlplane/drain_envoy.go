package controlplane

import (
	"context"
	"net/http"
	"time"
)

// envoyRun is an Envoy that runs: its process, 0 where that is not known, and since
// when its stream is open, which the same Envoy may open again.
type envoyRun struct {
	process int
	stream  time.Time
}

// envoyNow is this host's Envoy of now.
func (a *Agent) envoyNow(ctx context.Context) envoyRun {
	now := envoyRun{stream: a.proxy.server.Status().Since}
	now.process, _ = a.proxy.admin.process(ctx) // or it is not known
	return now
}

// replaces says whether it is another Envoy than an earlier one. Where the processes
// are not known, another stream is taken for one.
func (r envoyRun) replaces(before envoyRun) bool {
	if before.process == 0 {
		return !r.stream.Equal(before.stream)
	}
	return r.process != 0 && r.process != before.process
}

// process is that of the Envoy that listens on the socket, as the kernel knows it.
func (a *admin) process(ctx context.Context) (int, error) {
	if a.client == nil {
		return 0, errNoAdmin
	}
	c, err := a.client.Transport.(*http.Transport).DialContext(ctx, "unix", "")
	if err != nil {
		return 0, err
	}
	defer c.Close()
	who, err := credentials(c)
	if err != nil {
		return 0, err
	}
	return int(who.Pid), nil
}

// answerChecks has the gateways of this host answer the checks of load balancers:
// that it takes calls, unless it is draining, or that it takes none.
func (a *Agent) answerChecks(ctx context.Context, well bool) error {
	a.drain.answers.Lock()
	defer a.drain.answers.Unlock()
	path := "/healthcheck/fail"
	if well {
		if a.Drain().Draining {
			return nil // who drains tells
		}
		path = "/healthcheck/ok"
	}
	_, err := a.proxy.admin.ask(ctx, http.MethodPost, path)
	return err
}

// undrain has Envoy answer checks as if there had been no drain, as soon as it
// answers at all; an Envoy that was started since knows of none. Where it should
// answer, people are told that it does not.
func (a *Agent) undrain(tell bool) {
	if a.proxy.admin.client == nil {
		return
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for a.life.Err() == nil {
		err := a.answerChecks(a.life, true)
		if err == nil {
			a.problems.clear("drain")
			return
		}
		if tell && a.life.Err() == nil {
			a.problems.check("drain", err, "nixmesh exec --on "+a.host+" -- systemctl restart nixmesh-envoy")
		}
		select {
		case <-tick.C:
		case <-a.life.Done():
		}
	}
}
