package spec

import (
	"fmt"
	"slices"
	"time"
)

// checkPatience holds how a caller calls against what is spoken there (NM0407,
// NM0408).
func (d *decoder) checkPatience(u *Upstream, b *block, protocol string) {
	if protocol == "" {
		return
	}
	if !isHTTP(protocol) {
		d.onTCP(b, protocol, map[string]string{"timeout": "idle_timeout bounds a connection without traffic"})
		d.onTCP(b.one("circuit"), protocol, map[string]string{"requests": "connections bounds what is open", "retries": "delete it"})
		if u.Hash != "" && u.Hash != "source" {
			d.add(problem{code: "NM0407", rng: b.attrs["hash"].expr.Range(), block: b.title, detail: fmt.Sprintf("Over %s there are no headers and cookies to go by.", protocol), hint: `hash = "source"`})
		}
	}
	d.checkRetry(u.Retry, b.one("retry"), []string{protocol}, d.patience(b, u.Timeout, protocol))
}

// patience is how long a call may take by the block that says so, or by default;
// 0 is no bound, or none that is known.
func (d *decoder) patience(b *block, timeout *time.Duration, protocol string) time.Duration {
	switch {
	case timeout != nil:
		return *timeout
	case d.unsure(b, "timeout") || protocol == "":
		return 0
	default:
		return DefaultPatience(protocol).Timeout
	}
}

// onTCP refuses arguments that need requests. The map gives the ways out.
func (d *decoder) onTCP(b *block, protocol string, hints map[string]string) {
	for name, hint := range hints {
		if b.has(name) {
			d.add(problem{code: "NM0407", rng: b.attrs[name].key, block: b.title, detail: fmt.Sprintf("Over %s the mesh sees no requests, so %s would do nothing.", protocol, name), hint: hint})
		}
	}
}

// checkRetry holds retries against the protocols that are spoken and the time
// that they have; 0 is no bound.
func (d *decoder) checkRetry(r *Retry, b *block, protocols []string, timeout time.Duration) {
	if r == nil {
		return
	}
	requests := slices.ContainsFunc(protocols, mayBeHTTP)
	if !requests {
		d.onTCP(b, protocols[0], map[string]string{"per_try": "connect_timeout bounds each try", "budget": "delete it", "hedge": "delete it"})
	}
	for _, it := range d.entriesOf(b, "on") {
		condition := it.value.AsString()
		isGRPC := slices.Contains(grpcConditions(), condition)
		switch {
		case condition == "connect" || condition == "refused" || !slices.Contains(r.On, condition):
		case !requests:
			d.add(problem{code: "NM0407", rng: it.rng, block: b.title, detail: fmt.Sprintf("%q is told by answers, and %s has none that the mesh reads.", condition, protocols[0]), hint: `on tcp and redis "connect" and "refused" work`})
		case isGRPC && !slices.Contains(protocols, "grpc") && !slices.Contains(protocols, ""):
			d.add(problem{code: "NM0408", rng: it.rng, block: b.title, detail: fmt.Sprintf("%q is a code of gRPC, and %s is spoken here.", condition, protocols[0]), hint: `for HTTP: "5xx", "gateway", "429", or a status as text; or listen "grpc"`})
		}
	}
	if r.PerTry != nil && timeout > 0 && *r.PerTry > timeout {
		d.add(problem{code: "NM0408", rng: b.attrs["per_try"].expr.Range(), block: b.title,
			detail: fmt.Sprintf("One try may take %s, and all of them together %s.", DurationText(*r.PerTry), DurationText(timeout)), hint: fmt.Sprintf("per_try is at most timeout, which is %s over http unless written", DurationText(DefaultPatience("http").Timeout))})
	}
}
