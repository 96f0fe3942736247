package spec

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// quantity splits "90s" into number and unit. A number of more than ten digits,
// or with a zero before others, is none.
func quantity(text string) (n int64, unit string, ok bool) {
	unit = strings.TrimLeft(text, "0123456789")
	digits := strings.TrimSuffix(text, unit)
	if digits == "" || len(digits) > 10 || digits[0] == '0' && len(digits) > 1 {
		return 0, "", false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, unit, err == nil
}

// parseDuration reads "500ms", "90s", "10m", "72h", "365d".
func parseDuration(text string) (time.Duration, bool) {
	n, unit, ok := quantity(text)
	scale := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[unit]
	if !ok || scale == 0 || n > math.MaxInt64/int64(scale) {
		return 0, false
	}
	return time.Duration(n) * scale, true
}

// DurationText is a duration as the HCL writes it, in the largest unit that
// keeps it whole: "90s", "10m".
func DurationText(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= u.unit && d%u.unit == 0 {
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
	n, unit, ok := quantity(text)
	shift := map[string]uint{"KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[unit]
	if !ok || shift == 0 || n == 0 || n > math.MaxInt64>>shift {
		return 0, false
	}
	return n << shift, true
}

// parsePercent reads "1%" or "99.5%": up to six digits, and six behind the point.
func parsePercent(text string) (float64, bool) {
	number, isPercent := strings.CutSuffix(text, "%")
	whole, fraction, hasFraction := strings.Cut(number, ".")
	digits := func(s string) bool { return s != "" && len(s) <= 6 && strings.Trim(s, "0123456789") == "" }
	if !isPercent || !digits(whole) || hasFraction && !digits(fraction) {
		return 0, false
	}
	v, err := strconv.ParseFloat(number, 64)
	return v, err == nil
}
