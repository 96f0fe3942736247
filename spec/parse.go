package spec

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// parse reads one file's syntax. The body is nil when the file has syntax
// errors: only the first is told, since what follows is mostly its echo. The
// schema tells blocks from arguments where the syntax, which is JSON, does not.
func (s *sink) parse(name string, src []byte, schema *blockSchema) *hclsyntax.Body {
	if !s.readable(name, src) {
		return nil
	}
	if isJSON(name) {
		return s.parseJSON(name, src, schema)
	}
	file, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	for _, d := range diags {
		if d.Severity != hcl.DiagError || d.Summary == "Attribute redefined" {
			continue
		}
		rng := subject(d, name)
		s.add(problem{code: "NM0101", rng: rng, block: enclosing(file, rng), detail: syntaxDetail(d), hint: syntaxHint(d)})
		return nil
	}
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			s.add(problem{code: "NM0107", rng: *d.Subject, block: enclosing(file, *d.Subject), detail: redefined(d), hint: "keep one of the two"})
		}
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return nil
	}
	return body
}

// subject is the place of what HCL says.
func subject(d *hcl.Diagnostic, name string) hcl.Range {
	if d.Subject != nil {
		return *d.Subject
	}
	return fileStart(name)
}

// enclosing is the title of the outermost block that a place is in.
func enclosing(file *hcl.File, r hcl.Range) string {
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return ""
	}
	for _, b := range body.Blocks {
		if b.TypeRange.Start.Byte <= r.Start.Byte && r.Start.Byte < b.CloseBraceRange.End.Byte {
			return strings.TrimSpace(b.Type + " " + strings.Join(quoted(b.Labels), " "))
		}
	}
	return ""
}

func quoted(labels []string) []string {
	texts := make([]string, len(labels))
	for i, label := range labels {
		texts[i] = strconv.Quote(label)
	}
	return texts
}

// redefined names the first place of an argument that stands twice.
func redefined(d *hcl.Diagnostic) string {
	if m := regexp.MustCompile(`"([^"]+)" was already set at (.+):(\d+),`).FindStringSubmatch(d.Detail); m != nil {
		return fmt.Sprintf("The argument %q stands at %s:%s already.", m[1], m[2], m[3])
	}
	return d.Detail
}

// syntaxDetail is HCL's own sentence, with its summary where that adds something.
func syntaxDetail(d *hcl.Diagnostic) string {
	summary := strings.TrimSuffix(d.Summary, ".")
	if d.Detail == "" {
		return summary + "."
	}
	return summary + ": " + d.Detail
}

// syntaxHint knows the usual slips.
func syntaxHint(d *hcl.Diagnostic) string {
	switch {
	case strings.Contains(d.Summary, "Invalid single-argument block"), strings.Contains(d.Detail, "single-line block"),
		strings.Contains(d.Summary, "Invalid single-line block"):
		return "a one-line block holds one argument: put each on a line of its own"
	case strings.Contains(d.Detail, "Single quotes"), strings.Contains(d.Summary, "Invalid character") && strings.Contains(d.Detail, "'"):
		return `texts stand in double quotes: "…"`
	case strings.Contains(d.Summary, "Invalid multi-line string"):
		return "close the quote on the same line, or use <<EOT … EOT"
	case strings.Contains(d.Detail, "Curly quotes"):
		return `texts stand in straight double quotes: "…"`
	case strings.Contains(d.Detail, `";" character`):
		return "end the line instead: each argument stands on a line of its own"
	case strings.Contains(d.Detail, "not used within the language"):
		return "delete it and type it anew: it may look like a space"
	case strings.Contains(d.Summary, "Argument or block definition required"):
		return "write NAME = VALUE or a block; delete a } too many, or what a merge left"
	case strings.Contains(d.Summary, "Unterminated template string"):
		return "end a text with a quote, and <<EOT with EOT on a line of its own"
	case strings.Contains(d.Summary, "Missing newline after argument"):
		return "one argument a line; list entries need commas"
	case strings.Contains(d.Summary, "Unclosed configuration block"), strings.Contains(d.Summary, "Unbalanced"):
		return "a } is missing"
	case strings.Contains(d.Summary, "Missing item separator"), strings.Contains(d.Summary, "Missing attribute separator"):
		return "put a comma between the entries"
	default:
		return ""
	}
}
