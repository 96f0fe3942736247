package spec

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

func (d *decoder) gate(b *block) Gate {
	return Gate{
		Window:      d.duration(b, "window"),
		MinRequests: d.whole(b, "min_requests"),
		Errors:      d.percent(b, "errors"),
		P99:         d.percent(b, "p99"),
	}
}

func (d *decoder) ca(b *block) CA {
	c := CA{LeafTTL: d.duration(b, "leaf_ttl"), IntermediateTTL: d.duration(b, "intermediate_ttl")}
	if c.LeafTTL >= c.IntermediateTTL && !d.unsure(b, "leaf_ttl", "intermediate_ttl") {
		rng := b.header
		if a := b.attrs["leaf_ttl"]; a != nil {
			rng = a.expr.Range()
		} else if a := b.attrs["intermediate_ttl"]; a != nil {
			rng = a.expr.Range()
		}
		d.add(problem{code: "NM0105", rng: rng, block: b.title, detail: "A leaf cannot outlive the authority's certificate that signs it.",
			hint: `leaf_ttl = "72h" with intermediate_ttl = "365d"`})
	}
	return c
}

func (d *decoder) telemetry(b *block) Telemetry {
	t := Telemetry{AccessLog: d.choice(b, "access_log"), Sample: d.percent(b, "sample")}
	if it, ok := d.item(b, "otlp"); ok {
		if text, ok := d.asText(it); ok {
			if !isHostPort(text) {
				d.wrong(it, fmt.Sprintf("%q is not host:port.", text), "")
			} else {
				t.OTLP = text
			}
		}
	}
	if b.has("sample") && !b.meant("otlp") {
		d.add(problem{code: "NM0105", rng: b.attrs["sample"].key, block: b.title, detail: "Nothing takes the traces: sample works with otlp only.",
			hint: `add otlp = "10.0.0.9:4317", or delete sample`})
	}
	t.MetricsFrom = d.ranges(b, "metrics_from")
	return t
}

// ranges reads a list of address ranges.
func (d *decoder) ranges(b *block, name string) []string {
	texts, entries := d.texts(b, name)
	var ranges []string
	for i, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err == nil && prefix != prefix.Masked() {
			entries[i].a.bad = true
			d.add(problem{code: "NM0105", rng: entries[i].rng, block: b.title, detail: fmt.Sprintf("%q is an address within a range.", text), hint: fmt.Sprintf("write %q", prefix.Masked())})
			continue
		}
		if err != nil {
			d.wrong(entries[i], fmt.Sprintf("%q is not a range of addresses.", text), name+` = ["10.0.0.0/24"]`)
			continue
		}
		ranges = append(ranges, prefix.String())
	}
	return ranges
}

// isHostPort says whether a text is a host and a port.
func isHostPort(text string) bool {
	host, port, err := net.SplitHostPort(text)
	n, bad := strconv.Atoi(port)
	return err == nil && host != "" && bad == nil && n > 0 && n < 65536
}
