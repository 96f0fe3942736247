package catalog

import (
	"math"
	"time"
)

// Damping of flapping: a service on a host that gets well again and again is
// believed less each time: callers take others first. Getting ill acts at once,
// always.
const (
	flapHalfLife = time.Minute
	flapHold     = 3.0 // recoveries, fading: from here on a recovery waits
	flapRelease  = 1.5 // until it has faded to this
	flapMost     = 6.0 // so the wait is at most two half-lives
)

// flapKey is what flaps: a version of a service on the owner.
type flapKey struct{ service, version string }

// damper counts recoveries. They fade by half each half-life.
type damper struct {
	score float64
	at    time.Time
	held  bool
}

// recovered counts one.
func (d *damper) recovered(now time.Time) {
	d.pass(now)
	d.score = min(d.score+1, flapMost)
	d.held = d.held || d.score >= flapHold
}

// pass lets the score fade.
func (d *damper) pass(now time.Time) {
	if away := now.Sub(d.at); away > 0 {
		d.score *= math.Exp2(-float64(away) / float64(flapHalfLife))
	}
	d.at = now
	if d.held && d.score < flapRelease {
		d.held = false
	}
}

// idle says that nothing is worth remembering.
func (d *damper) idle() bool { return !d.held && d.score < 0.1 }

// flapped compares a service's record with the one before it. A service that is
// new, or starts, flaps not.
func (o *owner) flapped(now time.Time, old *entry, rec *Record) {
	if old == nil || old.service == nil || rec.service == nil {
		return
	}
	for _, version := range rec.service.versions() {
		if old.service.health(version) != Unhealthy || rec.service.health(version) != Healthy {
			continue
		}
		key := flapKey{rec.Name, version}
		d := o.flaps[key]
		if d == nil {
			if o.flaps == nil {
				o.flaps = map[flapKey]*damper{}
			}
			d = &damper{at: now}
			o.flaps[key] = d
		}
		d.recovered(now)
	}
}

// versions are those of which there are instances, each once, in their order.
func (s *Service) versions() []string {
	var names []string
	for i := range s.Instances {
		known := false
		for _, name := range names {
			known = known || name == s.Instances[i].Version
		}
		if !known {
			names = append(names, s.Instances[i].Version)
		}
	}
	return names
}

// health is that of the best copy of a version, zero when there is none.
func (s *Service) health(version string) Health {
	best := Health(0)
	for i := range s.Instances {
		if s.Instances[i].Version == version {
			best = max(best, s.Instances[i].Health)
		}
	}
	return best
}
