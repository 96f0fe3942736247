package spec

import (
	"fmt"
	"strings"
)

// checkRewrite holds what replaces the matched prefix or path (NM0411, NM0406).
func (d *decoder) checkRewrite(b *block, r *Route) {
	it, ok := d.item(b, "rewrite")
	if !ok || r.Rewrite == "" || r.Path.Kind == "" {
		return
	}
	if r.Path.Kind == "regex" {
		d.checkGroups(it, r)
		return
	}
	switch {
	case !d.normalPath(it, 0):
	case r.Path.Kind == "prefix" && !strings.HasSuffix(r.Rewrite, "/"):
		d.add(problem{code: "NM0411", rng: it.rng, block: b.title,
			detail: fmt.Sprintf("%q replaces the prefix %q: %sx would become %sx.", r.Rewrite, r.Path.Text, r.Path.Text, r.Rewrite), hint: fmt.Sprintf("end it in a slash, too: %q", r.Rewrite+"/")})
	}
}

// checkGroups holds the groups that a rewrite names against those that the
// regular expression has.
func (d *decoder) checkGroups(it item, r *Route) {
	re, ok := compiled(r.Path.Text)
	if !ok {
		return
	}
	text := r.Rewrite
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		digit := i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9'
		switch {
		case i+1 < len(text) && text[i+1] == '\\':
		case !digit:
			d.add(problem{code: "NM0406", rng: it.rng, block: it.a.title, detail: "A backslash of a rewrite names a group, by one digit.", hint: `"\\1" is the first group, "\\\\" a backslash`})
			return
		case int(text[i+1]-'0') > re.NumSubexp():
			d.add(problem{code: "NM0406", rng: it.rng, block: it.a.title,
				detail: fmt.Sprintf("The rewrite names group %c, and the path's regular expression has %d.", text[i+1], re.NumSubexp()), hint: "a group is what stands in parentheses"})
			return
		}
		i++
	}
}
