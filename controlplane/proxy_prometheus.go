package controlplane

import (
	"strconv"
	"strings"

	"github.com/nixmesh/nixmesh/controlplane/api"
)

// envoyMetric reads one line of Envoy's, and gives it its name in the mesh; not
// ok for what has none.
func envoyMetric(row string) (api.Metric, bool) {
	name, labels, value, ok := promLine(row)
	if !ok {
		return api.Metric{}, false
	}
	base, part := histogramPart(name)
	if c, ok := serverCounts[base]; ok && part == "" {
		return c.metric(c.name, "", servedBy(labels), labels, value)
	}
	base, ok = strings.CutPrefix(base, "envoy_cluster_")
	c, known := callCounts[base]
	if !ok || !known {
		return api.Metric{}, false
	}
	prefix, own := clusterLabels(labels["envoy_cluster_name"])
	if prefix == "" {
		return api.Metric{}, false
	}
	return c.metric(api.Name(prefix)+c.name, part, own, labels, value)
}

// metric is a value under its name in the mesh.
func (c counted) metric(name api.Name, part string, own []api.Label, labels map[string]string, value float64) (api.Metric, bool) {
	if c.label != "" {
		text := c.value
		if from, is := strings.CutPrefix(text, "="); is {
			text = labels[from] + "xx"
		}
		own = append(own, api.Label{Name: c.label, Value: text})
	}
	if c.milli {
		switch part {
		case "_sum":
			value /= 1000
		case "_bucket":
			le := labels["le"]
			if ms, err := strconv.ParseFloat(le, 64); err == nil && le != "+Inf" {
				le = strconv.FormatFloat(ms/1000, 'g', -1, 64)
			}
			own = append(own, api.Label{Name: "le", Value: le})
		case "":
			return api.Metric{}, false
		}
	}
	return api.Metric{Name: name + api.Name(part), Labels: own, Value: value}, true
}

// histogramPart splits the end of a histogram's line from its name.
func histogramPart(name string) (base, part string) {
	for _, part := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, part); ok {
			return base, part
		}
	}
	return name, ""
}

// clusterLabels says what a cluster is for, by its name in statistics, where each
// colon is an underscore: "u_web_api@v1" is a call, "local_api@v1" what this host
// serves. The prefix is "" for another one.
func clusterLabels(name string) (prefix string, labels []api.Label) {
	kind, rest, _ := strings.Cut(name, "_")
	rest, version, _ := strings.Cut(rest, "@")
	switch kind {
	case "u":
		caller, upstream, ok := strings.Cut(rest, "_")
		if !ok {
			return "", nil
		}
		upstream = strings.Replace(upstream, "_", ":", 1) // service:listen
		return "nixmesh_call", []api.Label{{Name: "caller", Value: caller}, {Name: "upstream", Value: upstream}, {Name: "version", Value: version}}
	case "local":
		return "nixmesh_served", []api.Label{{Name: "service", Value: strings.Replace(rest, "_", ":", 1)}, {Name: "version", Value: version}}
	}
	return "", nil
}

// servedBy are the labels of what is counted where calls come in: the service,
// for requests; none for all of Envoy.
func servedBy(labels map[string]string) []api.Label {
	name, ok := labels["envoy_http_conn_manager_prefix"]
	if !ok {
		return nil
	}
	name = strings.TrimPrefix(strings.ReplaceAll(name, ":", "_"), "in_")
	name, version, _ := strings.Cut(name, "@")
	return []api.Label{{Name: "service", Value: strings.Replace(name, "_", ":", 1)}, {Name: "version", Value: version}}
}

// promLine reads NAME{LABEL="VALUE",…} VALUE. Values with quotes or backslashes
// in them are none of ours.
func promLine(row string) (name string, labels map[string]string, value float64, ok bool) {
	name, rest, ok := strings.Cut(row, "{")
	if !ok || strings.HasPrefix(row, "#") || strings.Contains(row, `\`) {
		return "", nil, 0, false
	}
	pairs, number, ok := strings.Cut(rest, "} ")
	value, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil {
		return "", nil, 0, false
	}
	labels = map[string]string{}
	for pairs != "" {
		key, after, ok := strings.Cut(pairs, `="`)
		text, more, closed := strings.Cut(after, `"`)
		if !ok || !closed {
			return "", nil, 0, false
		}
		labels[key] = line(text, maxAgent)
		pairs = strings.TrimPrefix(more, ",")
	}
	return name, labels, value, true
}
