package spec

import (
	"math"
	"regexp"
	"strconv"
	"time"
)

// parseDuration reads "500ms", "90s", "10m", "72h", "365d".
func parseDuration(text string) (time.Duration, bool) {
	m := regexp.MustCompile(`^(0|[1-9][0-9]{0,9})(ms|s|m|h|d)$`).FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	unit := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[m[2]]
	if err != nil || n > math.MaxInt64/int64(unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

// DurationText is a duration as the HCL writes it, in the largest unit that
// keeps it whole and above one: "90s", "10m".
func DurationText(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d > u.unit && d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}

// parseSize reads "512MiB" as bytes, KiB to TiB.
func parseSize(text string) (int64, bool) {
	m := regexp.MustCompile(`^([1-9][0-9]{0,9})(KiB|MiB|GiB|TiB)$`).FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	shift := map[string]uint{"KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[m[2]]
	if err != nil || n > math.MaxInt64>>shift {
		return 0, false
	}
	return n << shift, true
}

// parsePercent reads "1%" or "99.5%".
func parsePercent(text string) (float64, bool) {
	m := regexp.MustCompile(`^([0-9]{1,6}(?:\.[0-9]{1,6})?)%$`).FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(m[1], 64)
	return v, err == nil
}
