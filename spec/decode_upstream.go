package spec

import (
	"fmt"
	"slices"
	"strings"
)

// upstreams decodes the edges of a service and how it calls.
func (d *decoder) upstreams(s *Service, b *block) {
	for _, u := range b.all("upstream") {
		s.Upstreams = append(s.Upstreams, d.upstream(u))
	}
}

func (d *decoder) upstream(b *block) *Upstream {
	u := &Upstream{
		Name:           b.label,
		Place:          b.place(),
		Listen:         d.text(b, "listen"),
		Port:           d.whole(b, "port"),
		Timeout:        d.optionalDuration(b, "timeout"),
		IdleTimeout:    d.optionalDuration(b, "idle_timeout"),
		ConnectTimeout: d.duration(b, "connect_timeout"),
		LB:             d.choice(b, "lb"),
		Hash:           d.hash(b),
		SlowStart:      d.duration(b, "slow_start"),
		Panic:          d.percent(b, "panic"),
		Retry:          d.retry(b),
		Outlier:        d.outlier(b.one("outlier")),
		Circuit:        d.circuit(b.one("circuit")),
		Failover:       d.failover(b.one("failover")),
	}
	d.checkHash(u, b)
	if u.SlowStart > 0 && u.LB != "least_request" && u.LB != "round_robin" {
		d.add(problem{code: "NM0410", rng: b.attrs["slow_start"].key, block: b.title, detail: fmt.Sprintf("%s picks an instance without looking at its age.", u.LB),
			hint: `delete slow_start, or lb = "least_request" or "round_robin"`})
	}
	return u
}

// hash reads what ring_hash and maglev go by.
func (d *decoder) hash(b *block) string {
	it, ok := d.item(b, "hash")
	if !ok {
		b.arg("hash", typeText)
		return ""
	}
	text, ok := d.asText(it)
	if !ok || text == "source" {
		return text
	}
	kind, name, _ := strings.Cut(text, ":")
	switch {
	case kind != "header" && kind != "cookie":
		d.wrong(it, fmt.Sprintf("%q is not header:NAME, cookie:NAME or source.", text), "")
		return ""
	case !d.pattern(cookieName).MatchString(name):
		d.wrong(it, fmt.Sprintf("%q is not the name of a %s.", name, kind), "")
		return ""
	case kind == "header":
		name, ok = d.headerName(it, name)
		if !ok {
			return ""
		}
		return kind + ":" + name
	}
	return text
}

// checkHash holds the balancer against what it goes by (NM0410).
func (d *decoder) checkHash(u *Upstream, b *block) {
	if d.unsure(b, "lb") {
		return
	}
	switch hashes := slices.Contains([]string{"ring_hash", "maglev"}, u.LB); {
	case hashes && !b.meant("hash"):
		d.add(problem{code: "NM0410", rng: b.attrs["lb"].expr.Range(), block: b.title, detail: fmt.Sprintf("Nothing says what %s goes by.", u.LB),
			hint: `add hash = "header:x-user", "cookie:NAME" or "source"`})
	case !hashes && u.Hash != "":
		d.add(problem{code: "NM0410", rng: b.attrs["hash"].key, block: b.title, detail: fmt.Sprintf("%s does not look at hash.", u.LB),
			hint: `add lb = "ring_hash" or "maglev", or delete hash`})
	}
}

func (d *decoder) outlier(b *block) Outlier {
	return Outlier{
		Errors: d.whole(b, "errors"),
		Every:  d.duration(b, "every"),
		Eject:  d.duration(b, "eject"),
		Max:    d.percent(b, "max"),
	}
}

func (d *decoder) circuit(b *block) Circuit {
	return Circuit{
		Connections: d.whole(b, "connections"),
		Pending:     d.whole(b, "pending"),
		Requests:    d.whole(b, "requests"),
		Retries:     d.whole(b, "retries"),
	}
}

func (d *decoder) failover(b *block) Failover {
	f := Failover{Place: b.place(), Zones: d.boolean(b, "zones"), Threshold: d.percent(b, "threshold")}
	f.To, _ = d.texts(b, "to")
	return f
}
