package calendar

import (
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// calendars are expressions with what systemd says of them.
func calendars() map[string]bool {
	return map[string]bool{
		"daily": true, "DAILY": true, "hourly": true, "minutely": true, "weekly UTC": true, "quarterly": true, "semi-annually": true,
		"biannually": true, "Mon..Fri 8:00": true, "mon,tue *-*-* 1:2:3.5": true, "*-*~1": true, "*-02~03/2": true, "*:0/15": true,
		"00..05:00": true, "@1395716396": true, "Mon..mon": true, "Monday-Fri": true, "Mon-Fri": true, "12,14,13,12:20,10,30": true, "10-15": true,
		"10:30 UTC": true, "10:30 utc": true, "10:30 Europe/Berlin": true, "10:30 CET": true, "Mon,": true, "*-*-*": true, "1..5/2:00": true,
		"2026..2030-1-1": true, "26-1-1": true, "70-1-1": true, "Mon": true, "Mon UTC": true, "0:0:0..30": true, "0:0:0.1234567": true,
		"*~*": true, "*-*-1/5,7": true, "Sat,Thu,Mon..Wed,Sat..Sun": true, "Mon  10:00": true, "*-*-* *:*": true, "0:0:0/0.5": true,
		"2026-02-30": true, "*-*-* 03:30:00": true, "Sat *-*-1..7 18:00:00": true,

		"": false, "UTC": false, "@-5": false, "@": false, "Fri..Mon": false, "  10:30": false, "Mon..": false, "*": false, "5": false,
		"*:*:*/2.5": false, "5/0:00": false, "05..01:00": false, "24:00": false, "23:60": false, "23:59:60": false, "*-13-1": false,
		"*-*-32": false, "*-*~32": false, "Mon 10:30 10:30": false, "*-*-* 3:": false, "3:4:5:6": false, "1969-1-1": false, "3000-1-1": false,
		"0:0:0.1..0.5": false, "*-*~*/2": false, "*/2-1-1": false, "1,*:00": false, "T10": false, "2026-01-01T10:30": false, "Thu.Fri": false,
		"mo 10:00": false, "10:00  UTC": false, "1..3..5:00": false, "0/1/2:00": false, "0-23:00": false, "1.5:00": false,
		"0 3 * * *": false, "every day": false, "10:30 Europe/Berln": false, "10:30 Local": false, "3 Uhr": false,
	}
}

func TestCalendar(t *testing.T) {
	for text, valid := range calendars() {
		if err := Check(text); (err == nil) != valid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestCalendarAsSystemd holds the table and drawn expressions against systemd's
// own reading of them, where there is one.
func TestCalendarAsSystemd(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze here")
	}
	valid := func(text string) bool { return exec.Command(analyze, "calendar", "--", text).Run() == nil }
	for text := range calendars() {
		if got, want := Check(text), valid(text); (got == nil) != want {
			t.Errorf("%q: we say %v, systemd %v", text, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := drawCalendar(t)
		if rapid.IntRange(0, 3).Draw(t, "any") == 0 {
			text = rapid.StringMatching(`[0-9*/.,~: @UTCMonFri-]{0,12}`).Draw(t, "text")
		}
		if got, want := Check(text), valid(text); (got == nil) != want {
			t.Fatalf("%q: we say %v, systemd %v", text, got, want)
		}
	})
}

// drawCalendar draws what looks like an expression, and is one now and then.
func drawCalendar(t *rapid.T) string {
	word := func(words ...string) string { return rapid.SampledFrom(words).Draw(t, "word") }
	number := func() string {
		return word("0", "1", "2", "5", "12", "23", "28", "29", "31", "59", "60", "2026", "05", "1.5", "*")
	}
	step := func() string {
		return number() + word("", "", "", "..", "..5", "..31", "..12", "") + word("", "", "/2", "/0", "/30", "/1.5")
	}
	chain := func() string { return step() + word("", "", "", ","+step(), ",") }
	var parts []string
	if rapid.Bool().Draw(t, "weekdays") {
		parts = append(parts, word("Mon", "mon,tue", "Sat..Sun", "Sunday", "Sun..Mon", "Mon..", "Fri,", "Mon..Tue..Wed", "Mon-Wed"))
	}
	if rapid.Bool().Draw(t, "date") {
		parts = append(parts, word("", "", chain()+"-", "*-")+chain()+word("-", "~", "-")+chain())
	}
	if rapid.Bool().Draw(t, "time") {
		parts = append(parts, chain()+":"+chain()+word("", ":"+chain()))
	}
	if rapid.Bool().Draw(t, "zone") {
		parts = append(parts, word("UTC", "Europe/Berlin", "Nowhere/City", "utc"))
	}
	return strings.Join(parts, word(" ", " ", "  "))
}
