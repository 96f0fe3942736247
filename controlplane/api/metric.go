package api

// Metric is one value of a family.
type Metric struct {
	Name   Name
	Labels []Label // in the order of the family
	Value  float64
}

// Label is a name and a value that tell metrics of a family apart.
type Label struct{ Name, Value string }

// Name names a family. Names stay; new ones are added to the table of families.
type Name string

// Kind says what a value is.
type Kind string

// Kinds, as Prometheus calls them.
const (
	Gauge   Kind = "gauge"
	Counter Kind = "counter" // since the start of who counts: the agent, or Envoy

	// Histogram has three names, that of its family and _bucket, whose last label
	// is le, _sum or _count.
	Histogram Kind = "histogram"
)

// Family is what metrics of one name mean.
type Family struct {
	Name   Name
	Kind   Kind
	Labels []string
	Help   string // one sentence
	Group  string // heading in the documentation
}
