package spec

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// limit decodes the rate limit of an allow or a route; nil when there is none.
func (d *decoder) limit(parent *block) *Limit {
	if len(parent.all("limit")) == 0 {
		return nil
	}
	b := parent.one("limit")
	d.required(b)
	l := &Limit{Place: b.place(), Rate: d.rate(b, "rate"), By: d.choice(b, "by"), Shared: d.boolean(b, "shared")}
	l.Burst = l.Rate.Count
	if b.has("burst") {
		l.Burst = d.whole(b, "burst")
	}
	return l
}

// rate reads "100/s", "/m" or "/h"; the zero Rate where it is not given, or wrong.
func (d *decoder) rate(b *block, name string) Rate {
	b.arg(name, typeRate)
	it, ok := d.item(b, name)
	if !ok {
		return Rate{}
	}
	text, ok := d.asText(it)
	if !ok {
		return Rate{}
	}
	r, ok := parseRate(text)
	if !ok {
		d.wrong(it, fmt.Sprintf("%q is a whole number per time (/s, /m, /h); %q is not.", name, text), "")
	}
	return r
}

func parseRate(text string) (Rate, bool) {
	m := regexp.MustCompile(`^([1-9][0-9]{0,8})/([smh])$`).FindStringSubmatch(text)
	if m == nil {
		return Rate{}, false
	}
	n, err := strconv.Atoi(m[1])
	return Rate{Count: n, Per: map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[m[2]]}, err == nil
}
