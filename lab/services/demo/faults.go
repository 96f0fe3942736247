package demo

import (
	"fmt"
	"time"
)

// Faults are what a service is told to do wrong.
type Faults struct {
	FailHealth bool          // FAIL_HEALTH=1: the health check fails
	CrashAfter time.Duration // CRASH_AFTER=5s: the process ends with an error, 0 = never
	Slow       time.Duration // SLOW=300ms: before each answer or round of work
}

// ReadFaults reads them from the environment. A value that is not understood
// is an error: a fault that does not happen would make a test pass for nothing.
func ReadFaults(getenv func(string) string) (Faults, error) {
	var f Faults
	switch v := getenv("FAIL_HEALTH"); v {
	case "", "0":
	case "1":
		f.FailHealth = true
	default:
		return f, fmt.Errorf("read FAIL_HEALTH: %q is neither 0 nor 1", v)
	}
	for name, to := range map[string]*time.Duration{"CRASH_AFTER": &f.CrashAfter, "SLOW": &f.Slow} {
		v := getenv(name)
		if v == "" {
			continue
		}
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 {
			return f, fmt.Errorf("read %s: %q is no duration such as 300ms", name, v)
		}
		*to = d
	}
	return f, nil
}
