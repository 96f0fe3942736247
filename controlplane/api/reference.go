package api

import (
	"fmt"
	"strings"
)

// MetricsReference is docs/reference/metrics.md: every family, by group.
func MetricsReference() string {
	var b strings.Builder
	b.WriteString(`# Metrics

Every agent serves its metrics as Prometheus reads them: on its socket (` + "`/metrics`" + ` of the
[local API](agent-api.md)), and on port 7948 of its host where ` + "`telemetry`" + ` names the ranges
that may ask. Names and labels stay; new ones are added.

An agent counts other hosts and their endpoints, and names only its own: a fleet of
hundreds of hosts is scraped without a series for each pair of them.

Generated from the agent's table: ` + "`go test ./controlplane/api -run TestReferencePages -update`" + `.
`)
	group := ""
	for _, f := range Families() {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(&b, "\n## %s\n\n| name | kind | labels | meaning |\n|---|---|---|---|\n", group)
		}
		labels := make([]string, len(f.Labels))
		for i, l := range f.Labels {
			labels[i] = "`" + l + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Kind, strings.Join(labels, ", "), f.Help)
	}
	return b.String()
}
