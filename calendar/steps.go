package calendar

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// micro is a second, in which seconds and their fractions are counted.
const micro = 1_000_000

// chain is a list of values; empty is any.
type chain []step

// step is "5", "5..9", "5/2" or "5..9/2". Stop -1 is none, repeat 0 too.
type step struct {
	start, stop, repeat int64
}

// chain reads "*", or values with commas. Seconds have fractions.
func (p *parser) chain(seconds bool) (chain, error) {
	if rest, any := strings.CutPrefix(p.rest, "*"); any {
		p.rest = rest
		return nil, nil
	}
	var values chain
	for {
		value, err := p.step(seconds)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
		if len(values) > 240 {
			return nil, errors.New("the list has more than 240 values")
		}
		rest, more := strings.CutPrefix(p.rest, ",")
		if !more {
			return values, nil
		}
		p.rest = rest
	}
}

func (p *parser) step(seconds bool) (s step, err error) {
	s.stop = -1
	if s.start, err = p.number(seconds); err != nil {
		return s, err
	}
	unit := int64(1)
	if seconds {
		unit = micro
	}
	if rest, ok := strings.CutPrefix(p.rest, ".."); ok {
		p.rest, s.repeat = rest, unit
		if s.stop, err = p.number(seconds); err != nil {
			return s, err
		}
	}
	if rest, ok := strings.CutPrefix(p.rest, "/"); ok {
		p.rest = rest
		if s.repeat, err = p.number(seconds); err != nil {
			return s, err
		}
		if s.repeat == 0 {
			return s, errors.New("a step of 0 never moves")
		}
	} else if seconds && s.stop >= 0 && s.start+s.repeat > s.stop {
		return s, errors.New("a range of seconds without a step is a second long at least")
	}
	if p.rest != "" && strings.IndexByte(" ,-~:", p.rest[0]) < 0 {
		return s, fmt.Errorf("%q cannot follow a number", p.rest)
	}
	return s.trimmed(), nil
}

// trimmed ends a range at its last value; a range of one value is that value.
func (s step) trimmed() step {
	if s.stop > s.start {
		s.stop -= (s.stop - s.start) % s.repeat
	}
	if s.stop == s.start {
		s.stop, s.repeat = -1, 0
	}
	return s
}

// number reads digits; of seconds, in microseconds, with a fraction.
func (p *parser) number(seconds bool) (int64, error) {
	n := digits(p.rest)
	switch {
	case n == 0 && p.rest == "":
		return 0, errors.New("a number is missing at the end")
	case n == 0:
		return 0, fmt.Errorf("at %q there is no weekday, date or time", p.rest)
	}
	value := int64(0)
	for _, c := range []byte(p.rest[:n]) {
		if value = value*10 + int64(c-'0'); value > math.MaxInt32 {
			return 0, fmt.Errorf("the number %s is too large", p.rest[:n])
		}
	}
	p.rest = p.rest[n:]
	if !seconds {
		return value, nil
	}
	value *= micro
	if strings.HasPrefix(p.rest, ".") && digits(p.rest[1:]) > 0 {
		n = digits(p.rest[1:])
		for i, unit := 0, int64(micro/10); i < n && unit > 0; i, unit = i+1, unit/10 {
			value += int64(p.rest[1+i]-'0') * unit
		}
		p.rest = p.rest[1+n:]
	}
	return value, nil
}

// digits counts the digits that a text begins with.
func digits(text string) int {
	return len(text) - len(strings.TrimLeft(text, "0123456789"))
}

// years turns years of two digits into those from 1970 to 2069.
func (c chain) years() chain {
	full := func(year int64) int64 {
		switch {
		case year >= 0 && year < 70:
			return year + 2000
		case year >= 70 && year < 100:
			return year + 1900
		default:
			return year
		}
	}
	years := slices.Clone(c)
	for i := range years {
		years[i].start, years[i].stop = full(years[i].start), full(years[i].stop)
	}
	return years
}

// within holds a list against its bounds: each value, and one repetition at
// least. Days from the end of the month go to 28, which every month has.
func (c chain) within(what string, least, most int64, fromEnd bool) error {
	if fromEnd {
		most -= 3
	}
	for _, s := range c {
		if s.start < least || s.start > most || s.stop > most || s.stop >= 0 && s.stop < least {
			return fmt.Errorf("the %s is from %d to %d", what, least, boundText(what, most))
		}
		last := s.start + s.repeat
		if fromEnd && s.stop < 0 {
			last = s.start - s.repeat
		}
		if s.repeat > most-least || s.stop >= 0 && last > s.stop || s.stop < 0 && (last > most || last < least) {
			return fmt.Errorf("the %s never repeats: the step or the range leads out of it", what)
		}
	}
	return nil
}

// boundText is a bound as people count.
func boundText(what string, most int64) int64 {
	if what == "second" {
		return most / micro
	}
	return most
}
