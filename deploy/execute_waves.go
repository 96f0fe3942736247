package deploy

import (
	"context"
	"slices"
	"time"
)

func (e *execution) width(hosts int) int {
	if e.o.Rollback {
		return max(1, hosts)
	}
	if e.o.Parallel > 0 {
		return e.o.Parallel
	}
	return atOnce(e.d.Fleet.Rollout, hosts)
}

// waves switches the prepared hosts, wave after wave.
func (e *execution) waves(soft, hard context.Context) {
	waves := e.plan.Waves
	for i, w := range waves {
		if e.stopping(soft) {
			break
		}
		e.d.emit(Event{Kind: KindWave, Wave: i + 1, Waves: len(waves), Detail: w.Name, Hosts: w.Hosts, Number: e.plan.Number})
		e.wave(soft, hard, w.Hosts)
		if e.failures() > e.d.Fleet.Rollout.MaxFailed {
			e.onFail(hard, i)
			break
		}
		if soak := e.d.Fleet.Rollout.Soak; soak > 0 && i+1 < len(waves) {
			e.d.note("", "soaking for %s", soak)
			select {
			case <-soft.Done():
			case <-time.After(soak):
			}
		}
	}
}

// wave runs the hosts of one wave, as many at once as rollout and services
// allow. Hosts that are under way when it stops are followed to their end.
func (e *execution) wave(soft, hard context.Context, hosts []string) {
	var todo []string
	for _, h := range hosts {
		if e.result(h) == nil {
			todo = append(todo, h)
		}
	}
	width := e.width(len(hosts))
	ledger := LedgerHosts(e.d.Fleet)
	var busy []string
	done := make(chan string)
	for len(todo) > 0 || len(busy) > 0 {
		stop := e.stopping(soft) || e.failures() > e.d.Fleet.Rollout.MaxFailed
		for i := 0; i < len(todo) && len(busy) < width && !stop; {
			h := todo[i]
			if !mayStart(e.d.Fleet, ledger, h, busy) {
				i++
				continue
			}
			todo = slices.Delete(todo, i, i+1)
			busy = append(busy, h)
			go func() { // wave waits for it through done
				e.perform(hard, h)
				done <- h
			}()
		}
		if len(busy) == 0 {
			return
		}
		h := <-done
		busy = slices.DeleteFunc(busy, func(b string) bool { return b == h })
	}
}

// perform switches one host to its end, and gives an agent that came with it
// what the others act on.
func (e *execution) perform(hard context.Context, host string) {
	r := e.runs[host].perform(hard)
	if r.End == EndDeployed {
		e.mesh.committed(hard, host)
		if r.stale != nil {
			r.Envoy = e.renewEnvoy(hard, host, *r.stale)
		}
	}
	e.set(r)
}
