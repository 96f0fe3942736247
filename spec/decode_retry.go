package spec

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/zclconf/go-cty/cty"
)

// RetryConditions are the words of retry.on. A status as text, "503", is one, too.
func RetryConditions() []string {
	return append([]string{"connect", "refused", "reset", "5xx", "gateway", "429"}, grpcConditions()...)
}

// grpcConditions are those that a gRPC status tells.
func grpcConditions() []string {
	return []string{"unavailable", "cancelled", "deadline-exceeded", "resource-exhausted"}
}

// retry decodes the retries of an upstream or a route; nil when there are none.
func (d *decoder) retry(parent *block) *Retry {
	if len(parent.all("retry")) == 0 {
		return nil
	}
	b := parent.one("retry")
	r := &Retry{
		Place:    b.place(),
		Attempts: d.attempts(b),
		On:       d.conditions(b),
		PerTry:   d.optionalDuration(b, "per_try"),
		Backoff:  d.duration(b, "backoff"),
		Budget:   d.percent(b, "budget"),
		Hedge:    d.boolean(b, "hedge"),
	}
	if r.Hedge && !b.meant("per_try") {
		d.add(problem{code: "NM0408", rng: b.attrs["hedge"].key, block: b.title, detail: "Nothing says when the second try begins: hedge needs per_try.",
			hint: `add per_try = "500ms"`})
	}
	return r
}

// attempts reads a number that is not 0 (NM0408).
func (d *decoder) attempts(b *block) int {
	if it, ok := d.item(b, "attempts"); ok && it.value.Type() == cty.Number && it.value.AsBigFloat().Sign() == 0 {
		d.add(problem{code: "NM0408", rng: it.rng, block: b.title, detail: "With 0 attempts nothing is ever tried again.",
			hint: "attempts = 1 is one try after the first; delete the retry block for none"})
		return 1
	}
	return d.whole(b, "attempts")
}

// conditions reads when a call is tried again (NM0408).
func (d *decoder) conditions(b *block) []string {
	if !b.has("on") {
		return []string{"connect", "refused"}
	}
	texts, entries := d.texts(b, "on")
	if d.emptyList(b, "on") {
		d.add(problem{code: "NM0408", rng: b.attrs["on"].expr.Range(), block: b.title, detail: "Without a condition nothing is ever tried again.", hint: `for example on = ["connect", "5xx"]`})
	}
	var on []string
	for i, text := range texts {
		if !slices.Contains(RetryConditions(), text) && !isErrorStatus(text) {
			d.add(problem{code: "NM0408", rng: entries[i].rng, block: b.title, detail: fmt.Sprintf("%q is not a condition of retries.", text),
				hint: didYouMean(text, RetryConditions(), `a status from 400 to 599 as text ("503"), or one of`)})
			continue
		}
		if !slices.Contains(on, text) {
			on = append(on, text)
		}
	}
	return on
}

// isErrorStatus says whether a text is an HTTP status that tells an error.
func isErrorStatus(text string) bool { return regexp.MustCompile(`^[45][0-9][0-9]$`).MatchString(text) }
