package controlplane

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/health"
	"github.com/nixmesh/nixmesh/mesh"
)

// maxRun bounds what is kept of a run, in bytes.
const maxRun = 1 << 20

// lastRun is what an agent has to know of the one before it, in the same boot of
// the machine, to go on where that one was killed: the catalog on disk may be half
// a minute old. What it says is small, so it is kept whenever it changes.
type lastRun struct {
	Boot    string       `json:"boot"`
	Down    []string     `json:"down"`    // hosts that counted as down: Envoy calls nobody there
	Healthy []ranHealthy `json:"healthy"` // instances of this host, which callers call
}

type ranHealthy struct {
	Service string    `json:"service"`
	Version string    `json:"version,omitempty"`
	Unit    string    `json:"unit"`
	Copy    int       `json:"copy"`
	Since   time.Time `json:"since"`
}

// resume takes what the run before this one left, if that was in this boot. Where it
// cannot be read it may have been: an Envoy that serves is not held for one that has
// just been started.
func (a *Agent) resume() {
	a.proxy.outlived = a.files.there(fileRun)
	content := a.files.read(fileRun, maxRun)
	if content == nil {
		return
	}
	var before lastRun
	if err := json.Unmarshal(content, &before); err != nil {
		a.files.setAside(fileRun, err)
		return
	}
	if a.proxy.outlived = before.Boot == a.opts.Boot; !a.proxy.outlived {
		return
	}
	a.before = before.Healthy
	for _, host := range before.Down {
		a.setLiveness(host, catalog.Dead) // nothing where the configuration does not name it
	}
}

// keepRun keeps that for the next run, where it changed.
func (a *Agent) keepRun() {
	now := lastRun{Boot: a.opts.Boot}
	a.live.look(func(c *catalog.Catalog, config *mesh.Config, _ time.Time) {
		if config == nil {
			return
		}
		for host := range config.Hosts {
			if status, ok := c.Status(host); ok && status.Standing <= catalog.Down && host != a.host {
				now.Down = append(now.Down, host)
			}
		}
	})
	slices.Sort(now.Down)
	for _, i := range a.health.Instances() {
		if i.State == health.Healthy {
			now.Healthy = append(now.Healthy, ranHealthy{i.Service, i.Version, i.Unit, i.Copy, i.Since})
		}
	}
	content, err := json.Marshal(now)
	if err != nil {
		panic(fmt.Sprintf("encode run: %v", err)) // texts and times always can be
	}
	if string(content) != a.ran {
		a.ran = string(content)
		a.files.save(fileRun, content)
	}
}

// wasHealthy says which instances were healthy when the run before this one ended,
// as far as it was in this boot; not ok where there was none.
func (a *Agent) wasHealthy() (list []health.Instance, ok bool) {
	for _, i := range a.before {
		list = append(list, health.Instance{Service: i.Service, Version: i.Version, Unit: i.Unit, Copy: i.Copy, State: health.Healthy, Since: i.Since})
	}
	return list, a.proxy.outlived
}
