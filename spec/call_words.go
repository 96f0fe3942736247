package spec

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// callForms are how functions are called, for hints.
func callForms() map[string]string {
	return map[string]string{
		"coalesce": "coalesce(VALUE, VALUE, …)", "concat": "concat(LIST, LIST, …)", "contains": "contains(LIST, VALUE)", "distinct": "distinct(LIST)",
		"file": `file("PATH")`, "flatten": "flatten(LIST)", "format": `format("%s-%d", TEXT, NUMBER)`, "join": `join(", ", LIST)`,
		"jsonencode": "jsonencode(VALUE)", "keys": "keys(MAP)", "length": "length(LIST or MAP)", "lower": "lower(TEXT)", "merge": "merge(MAP, MAP, …)",
		"replace": "replace(TEXT, FROM, TO)", "sha256file": `sha256file("PATH")`, "sort": "sort(LIST)", "split": `split(",", TEXT)`,
		"trimspace": "trimspace(TEXT)", "upper": "upper(TEXT)", "values": "values(MAP)",
	}
}

// callDetail puts what HCL says of a call in plain words.
func callDetail(name, detail string) string {
	for pattern, words := range map[string]string{
		`^Invalid value for "([^"]+)" parameter: (.*?)\.?$`:  `The argument "$1" of ` + name + ` does not fit: $2.`,
		`^Call to function "[^"]+" failed: (.*?)\.?$`:        name + ` cannot do that: $1.`,
		`^Function "[^"]+" expects .*value for "([^"]+)".*$`: name + ` needs the argument "$1", too.`,
		`^Function "[^"]+" expects only (\d+) .*$`:           name + ` is given more arguments than it takes ($1).`,
	} {
		if re := regexp.MustCompile(pattern); re.MatchString(detail) {
			return re.ReplaceAllString(detail, words)
		}
	}
	return fmt.Sprintf("%s: %s", name, strings.TrimSpace(detail))
}

// fileError is why file and sha256file cannot read a path.
type fileError struct {
	rel string
	err error
}

func (e *fileError) Error() string { return e.rel + ": " + e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// asFileError finds it in what a call ended with.
func asFileError(err error) *fileError {
	var bad *fileError
	if errors.As(err, &bad) {
		return bad
	}
	return nil
}
