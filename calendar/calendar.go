// Package calendar reads the calendar expressions of systemd.time(7), by which
// timers elapse, as far as telling right from wrong: before there is any systemd
// to ask. Standard library only; spec imports it.
package calendar

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // so that a zone is known on every machine alike
)

// Check says why a text is no calendar expression of systemd.time(7);
// nil if it is one. It is as strict as systemd 252, which has the same steps:
// zone, shorthand, weekdays, date, time, bounds.
func Check(text string) error {
	if fields := strings.Fields(text); len(fields) == 5 && strings.Trim(text, "0123456789*/,- ") == "" {
		return fmt.Errorf("%q is cron's form; systemd's is WEEKDAYS YEAR-MONTH-DAY HOUR:MINUTE:SECOND", text)
	}
	err := parseMoments(withoutZone(text))
	if i := strings.LastIndexByte(text, ' '); err != nil && i > 0 && strings.Contains(text[i:], "/") && parseMoments(text[:i]) == nil {
		return fmt.Errorf("there is no time zone %q", text[i+1:])
	}
	return err
}

// parseMoments is Check without a time zone.
func parseMoments(text string) error {
	if slices.Contains(shorthands(), strings.ToLower(text)) {
		return nil
	}
	if stamp, ok := strings.CutPrefix(text, "@"); ok {
		if stamp == "" || strings.Trim(stamp, "0123456789") != "" {
			return fmt.Errorf("%q is not @ with the seconds since 1970", text)
		}
		return nil
	}
	if text == "" {
		return errors.New("there is no time in it")
	}
	p := &parser{rest: text}
	if err := p.weekdays(); err != nil {
		return err
	}
	if err := p.date(); err != nil {
		return err
	}
	return p.time()
}

func shorthands() []string {
	return []string{"minutely", "hourly", "daily", "weekly", "monthly", "yearly", "annually", "quarterly",
		"semiannually", "semi-annually", "biannually", "bi-annually"}
}

// withoutZone takes off " UTC" or " Europe/Berlin". What is no zone stays, and
// is refused as a time.
func withoutZone(text string) string {
	i := strings.LastIndexByte(text, ' ')
	if i < 0 {
		return text
	}
	zone := text[i+1:]
	if strings.EqualFold(zone, "UTC") {
		return text[:i]
	}
	if zone == "" || zone == "Local" {
		return text
	}
	if _, err := time.LoadLocation(zone); err != nil {
		return text
	}
	return text[:i]
}

// parser reads an expression from the left.
type parser struct {
	rest string
}

// weekdays reads "Mon", "Mon,Wed", "Mon..Fri", if there are any.
func (p *parser) weekdays() error {
	rangeFrom := -1
	for first := true; ; first = false {
		day, name := weekday(p.rest)
		if name == "" {
			if first {
				return nil
			}
			return fmt.Errorf("%q is not a weekday", p.rest)
		}
		p.rest = p.rest[len(name):]
		if day < rangeFrom {
			return fmt.Errorf("the range of weekdays ends at %s, before it begins; a week begins on Monday", name)
		}
		open, err := p.afterWeekday(rangeFrom >= 0)
		if err != nil {
			return err
		}
		rangeFrom = -1
		if open {
			rangeFrom = day
		}
		if p.rest == "" || p.rest[0] == ' ' {
			p.rest = strings.TrimLeft(p.rest, " ")
			if open {
				return errors.New("the range of weekdays has no end")
			}
			return nil
		}
	}
}

// afterWeekday reads what joins weekdays; open says that a range began.
func (p *parser) afterWeekday(inRange bool) (open bool, err error) {
	switch {
	case p.rest == "", p.rest[0] == ' ':
		return false, nil
	case p.rest[0] == ',':
		p.rest = p.rest[1:]
		return false, nil
	case strings.HasPrefix(p.rest, ".."):
		p.rest, open = p.rest[2:], true
	case p.rest[0] == '-': // as older systemd wrote ranges
		p.rest, open = p.rest[1:], true
	}
	if !open || inRange {
		return false, fmt.Errorf("%q cannot follow a weekday", p.rest)
	}
	return true, nil
}

// weekday finds the day that a text begins with, 0 = Monday.
func weekday(text string) (day int, name string) {
	days := []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
	for i, full := range days {
		for _, n := range []int{len(full), 3} {
			if len(text) >= n && strings.EqualFold(text[:n], full[:n]) && (len(text) == n || strings.IndexByte("-., ", text[n]) >= 0) {
				return i, text[:n]
			}
		}
	}
	return 0, ""
}

// date reads MONTH-DAY or YEAR-MONTH-DAY, if there is one; "~" before the day
// counts from the end of the month.
func (p *parser) date() error {
	if p.rest == "" {
		return nil
	}
	t := &parser{rest: p.rest}
	var parts []chain
	fromEnd := false
	for {
		chain, err := t.chain(false)
		if err != nil {
			return err
		}
		parts = append(parts, chain)
		if len(parts) == 1 && (t.rest == "" || t.rest[0] == ':') {
			return nil // it is a time
		}
		if len(parts) > 1 && (t.rest == "" || t.rest[0] == ' ') {
			break
		}
		if t.rest == "" || len(parts) == 3 || fromEnd || t.rest[0] != '-' && t.rest[0] != '~' {
			return fmt.Errorf("%q is not a date: YEAR-MONTH-DAY or MONTH-DAY", p.rest)
		}
		fromEnd = t.rest[0] == '~'
		t.rest = t.rest[1:]
	}
	p.rest = strings.TrimLeft(t.rest, " ")
	if len(parts) == 3 {
		if err := parts[0].years().within("year", 1970, 2199, false); err != nil {
			return err
		}
		parts = parts[1:]
	}
	if err := parts[0].within("month", 1, 12, false); err != nil {
		return err
	}
	return parts[1].within("day", 1, 31, fromEnd)
}

// time reads HOUR:MINUTE or HOUR:MINUTE:SECOND to the end, if there is one.
func (p *parser) time() error {
	if p.rest == "" {
		return nil
	}
	whole := p.rest
	names, most := []string{"hour", "minute", "second"}, []int64{23, 59, 60*micro - 1}
	for i, name := range names {
		chain, err := p.chain(name == "second")
		if err != nil {
			return err
		}
		if err := chain.within(name, 0, most[i], false); err != nil {
			return err
		}
		if p.rest == "" && i > 0 {
			return nil
		}
		if p.rest == "" || p.rest[0] != ':' {
			break
		}
		p.rest = p.rest[1:]
	}
	return fmt.Errorf("%q is not a time: HOUR:MINUTE or HOUR:MINUTE:SECOND, and then a time zone", whole)
}
