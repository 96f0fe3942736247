package mesh

import (
	"fmt"
	"strings"
)

// Parts counts what a configuration asks of the mesh, beyond services that run.
type Parts struct {
	Edges     int `json:"edges"`
	Gateways  int `json:"gateways"`
	Externals int `json:"externals"`
	Routes    int `json:"routes"` // of services; those of gateways are theirs
	Splits    int `json:"splits"`
	Allows    int `json:"allows"`
}

// Parts counts the configuration's. A split is one with more than one share.
func (c *Config) Parts() Parts {
	p := Parts{Gateways: len(c.Gateways), Externals: len(c.Externals)}
	for _, to := range c.Edges {
		p.Edges += len(to)
	}
	for _, s := range c.Services {
		p.Routes += len(s.Routes)
		p.Allows += len(s.Allows)
		if s.splits() {
			p.Splits++
		}
	}
	return p
}

// String names what there is: "10 edges, 1 gateway"; "" is nothing.
func (p Parts) String() string {
	var texts []string
	for _, part := range []struct {
		n    int
		word string
	}{{p.Edges, "edge"}, {p.Gateways, "gateway"}, {p.Externals, "external"}, {p.Routes, "route"}, {p.Splits, "split"}, {p.Allows, "allow"}} {
		switch part.n {
		case 0:
		case 1:
			texts = append(texts, "1 "+part.word)
		default:
			texts = append(texts, fmt.Sprintf("%d %ss", part.n, part.word))
		}
	}
	return strings.Join(texts, ", ")
}
