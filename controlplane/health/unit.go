package health

import "time"

// unit is the systemd unit of an instance. Health's mu guards it.
type unit struct {
	name   string
	job    bool // a timer starts it
	mayEnd bool // active without a process, too

	running bool
	start   string    // which start of the unit this is
	since   time.Time // when that was
	starts  int       // seen so far
}

// runs says whether it is as it should be: a job may rest.
func (u *unit) runs() bool { return u.running || u.job }

// see takes what systemd and the kernel say of it now, and says whether it
// started.
func (u *unit) see(now time.Time, s sight) (started bool) {
	was, start := u.running, u.start
	u.running = s.populated || s.active && u.mayEnd
	switch {
	case !u.running, was && s.start == start:
		return false
	case s.start == start:
		u.since = now // a process came where one had gone
	default:
		// From here on its age is counted without the clock, which may be set.
		u.since = now.Add(min(s.since.Sub(now), 0))
	}
	u.start = s.start
	u.starts++
	return true
}
