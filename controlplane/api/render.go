package api

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// render writes metrics as Prometheus reads them, families in the order of
// their table. A metric without a family is left out: its name was promised to
// nobody.
func render(ms []Metric) []byte {
	by, histograms := map[Name][]Metric{}, map[Name]bool{}
	for _, f := range Families() {
		histograms[f.Name] = f.Kind == Histogram
	}
	for _, m := range ms {
		name := m.Name
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			if base, ok := strings.CutSuffix(string(name), part); ok && histograms[Name(base)] {
				name = Name(base)
			}
		}
		by[name] = append(by[name], m)
	}
	var b bytes.Buffer
	for _, f := range Families() {
		if len(by[f.Name]) == 0 {
			continue
		}
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", f.Name, f.Help, f.Name, f.Kind)
		for _, m := range by[f.Name] {
			b.WriteString(string(m.Name))
			writeLabels(&b, m.Labels)
			b.WriteString(" " + number(m.Value) + "\n")
		}
	}
	return b.Bytes()
}

func writeLabels(b *bytes.Buffer, labels []Label) {
	for i, l := range labels {
		b.WriteString([]string{"{", ","}[min(i, 1)])
		fmt.Fprintf(b, `%s="%s"`, l.Name, escape(l.Value))
	}
	if len(labels) > 0 {
		b.WriteByte('}')
	}
}

// escape keeps a value in its quotes.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(text, "\uFFFD"))
}

func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
