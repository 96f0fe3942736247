package hostfacts

// Tracker turns single results into a state: Rise passes in a row make a
// service healthy, Fall failures in a row unhealthy. A service is unhealthy
// until it has proved itself.
type Tracker struct {
	rise, fall int
	healthy    bool
	streak     int // results in a row that speak against the state
}

// NewTracker is a tracker for a check.
func NewTracker(c Check) *Tracker {
	return &Tracker{rise: max(c.Rise, 1), fall: max(c.Fall, 1)}
}

// Add counts one result and says whether the state changed by it.
func (t *Tracker) Add(ok bool) (changed bool) {
	if ok == t.healthy {
		t.streak = 0
		return false
	}
	t.streak++
	needed := t.rise
	if t.healthy {
		needed = t.fall
	}
	if t.streak < needed {
		return false
	}
	t.healthy, t.streak = ok, 0
	return true
}

// Healthy is the state.
func (t *Tracker) Healthy() bool { return t.healthy }
