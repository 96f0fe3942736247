// Package selector names hosts: "app1", "edge-*", "@tag", "!app2", a comma for
// or. It is the one language of the HCL (on, order, via) and of --on. Standard
// library only; everything above it may import it.
package selector

import (
	"slices"
	"strings"
)

// Host is what a selector sees of a host.
type Host struct {
	Name string
	Tags []string
}

// Selector is a parsed selector: the union of its terms, less what its "!"
// terms name. One with "!" terms only is all hosts but those.
type Selector struct {
	terms []term
}

// term is one entry between commas.
type term struct {
	text    string // as written, trimmed
	not     bool
	tag     bool
	pattern string // name or tag, "*" stands for any run of characters
}

// Parse reads the entries of a list (or one value of --on). Entries are joined
// as if by commas. The error is a *SyntaxError.
func Parse(entries ...string) (*Selector, error) {
	s := &Selector{}
	for _, entry := range entries {
		for text := range strings.SplitSeq(entry, ",") {
			t, err := parseTerm(strings.TrimSpace(text))
			if err != nil {
				return nil, err
			}
			s.terms = append(s.terms, t)
		}
	}
	if len(s.terms) == 0 {
		return nil, &SyntaxError{Reason: "it is empty"}
	}
	return s, nil
}

func parseTerm(text string) (term, error) {
	t := term{text: text}
	rest := text
	if r, ok := strings.CutPrefix(rest, "!"); ok {
		t.not, rest = true, r
	}
	if r, ok := strings.CutPrefix(rest, "@"); ok {
		t.tag, rest = true, r
	}
	if rest == "" {
		return t, &SyntaxError{Term: text, Reason: "a name is missing"}
	}
	for _, c := range rest {
		if c != '*' && c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return t, &SyntaxError{Term: text, Reason: "names have lower-case letters, digits and dashes, and * for any of them"}
		}
	}
	t.pattern = rest
	return t, nil
}

// String is the selector in its canonical form.
func (s *Selector) String() string {
	texts := make([]string, len(s.terms))
	for i, t := range s.terms {
		texts[i] = t.text
	}
	return strings.Join(texts, ",")
}

// Select returns the names of the matching hosts, sorted. It is a
// *NoMatchError if a term names no host, or if nothing remains.
func (s *Selector) Select(hosts []Host) ([]string, error) {
	in, out := map[string]bool{}, map[string]bool{}
	onlyNot := true
	for _, t := range s.terms {
		names := t.match(hosts)
		if len(names) == 0 {
			return nil, noMatch(t.text, hosts)
		}
		set := out
		if !t.not {
			set, onlyNot = in, false
		}
		for _, name := range names {
			set[name] = true
		}
	}
	var selected []string
	for _, h := range hosts {
		if (onlyNot || in[h.Name]) && !out[h.Name] {
			selected = append(selected, h.Name)
		}
	}
	if len(selected) == 0 {
		return nil, noMatch(s.String(), hosts)
	}
	slices.Sort(selected)
	return slices.Compact(selected), nil
}

func (t term) match(hosts []Host) []string {
	var names []string
	for _, h := range hosts {
		if t.tag && slices.ContainsFunc(h.Tags, func(tag string) bool { return glob(t.pattern, tag) }) ||
			!t.tag && glob(t.pattern, h.Name) {
			names = append(names, h.Name)
		}
	}
	return names
}

// glob matches text against a pattern in which "*" is any run of characters.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return strings.HasSuffix(text, last)
}
