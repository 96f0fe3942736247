package api

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"sync"
)

// counts is what the server counts of itself.
type counts struct {
	mu       sync.Mutex // guards what follows
	requests map[answered]uint64
	open     int
	away     uint64
	watches  int
	lost     uint64
	panics   uint64
}

// answered is a path of the API, or "other", and the status of the answer.
type answered struct {
	path string
	code int
}

func newCounts() *counts { return &counts{requests: map[answered]uint64{}} }

func (c *counts) request(path string, code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests[answered{path, code}]++
}

func (c *counts) connected(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open += n
}

func (c *counts) turnedAway() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away++
}

func (c *counts) watch(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watches += n
}

func (c *counts) missed(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost += uint64(n)
}

func (c *counts) panicked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.panics++
}

// metrics are the counts as metrics.
func (c *counts) metrics() []Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	ms := []Metric{
		{Name: apiConnections, Value: float64(c.open)},
		{Name: apiTurnedAway, Value: float64(c.away)},
		{Name: apiWatches, Value: float64(c.watches)},
		{Name: apiWatchLost, Value: float64(c.lost)},
		{Name: apiPanics, Value: float64(c.panics)},
	}
	keys := slices.SortedFunc(maps.Keys(c.requests), func(a, b answered) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.code, b.code))
	})
	for _, k := range keys {
		ms = append(ms, Metric{apiRequests, []Label{{"path", k.path}, {"code", strconv.Itoa(k.code)}}, float64(c.requests[k])})
	}
	return ms
}
