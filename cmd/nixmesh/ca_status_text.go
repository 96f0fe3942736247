package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/deploy"
	"github.com/nixmesh/nixmesh/internal/term"
)

// write prints the CA for people. A cell says what is, and Attention why.
func (s *caStatus) write(w io.Writer, style term.Style) error {
	t := &term.Table{Header: []string{"LEVEL", "HOST", "CERTIFICATE", "ENDS", "LEFT", "STATE"}}
	for _, c := range s.Roots {
		t.Add("root", "", c.Name, day(c.Until), s.left(c.Until), style.State(c.Level))
	}
	for _, c := range s.Authorities {
		state := c.Level
		switch {
		case c.Error != "":
			state = levelUnknown
		case c.Until.IsZero():
			state = "none yet"
		}
		t.Add("authority", c.Host, c.Name, day(c.Until), s.left(c.Until), style.State(state))
	}
	for _, h := range s.Hosts {
		if !h.known() {
			t.Add("leaves", h.Host, "", "", "", style.State(levelUnknown))
			continue
		}
		count := fmt.Sprintf("%d of %d", h.Leaves, max(h.Wanted, h.Leaves))
		t.Add("leaves", h.Host, count, day(h.Until), s.left(h.Until), style.State(h.Level))
	}
	if _, err := fmt.Fprintf(w, "%s   identities spiffe://%s/…   %s%s\n\n", s.Fleet, s.TrustDomain, style.State(s.Level), s.unknown()); err != nil {
		return err
	}
	if err := t.Write(w); err != nil {
		return err
	}
	deploy.WriteAttention(w, s.Attention)
	return nil
}

// unknown says how much of the fleet the level does not cover.
func (s *caStatus) unknown() string {
	n := 0
	for _, h := range s.Hosts {
		if !h.known() {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d of %d hosts unknown", n, len(s.Hosts))
}

// attend lists what a person should look at: one sentence for all that have it.
func (s *caStatus) attend() {
	texts, whose := []string{}, map[string][]string{}
	add := func(text, who string) {
		if whose[text] == nil {
			texts = append(texts, text)
		}
		if !slices.Contains(whose[text], who) {
			whose[text] = append(whose[text], who)
		}
	}
	command := map[string]string{}
	for _, c := range s.Authorities {
		text := c.Due
		if c.Error == "" && c.Until.IsZero() {
			text = "no intermediate yet, so it signs nothing"
		}
		if text != "" {
			add(text, "authority "+c.Host)
			command[text] = "nixmesh ca renew"
		}
	}
	for _, h := range s.Hosts {
		if !h.known() {
			add(h.Error, h.Host)
			command[h.Error] = "nixmesh status"
		}
		for _, problem := range h.Problems {
			leaf, text, _ := strings.Cut(problem, ": ")
			add(text, leaf+" on "+h.Host)
		}
	}
	for _, text := range texts {
		s.Attention = append(s.Attention, deploy.Next{
			Why: strings.Join(whose[text], ", ") + ": " + text, Command: deploy.Typed(s.lab, command[text]),
		})
	}
}

// day is a date, "" for none.
func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// left is the time until an end, "" for none.
func (s *caStatus) left(until time.Time) string {
	switch {
	case until.IsZero():
		return ""
	case !until.After(s.Time):
		return "0"
	}
	return deploy.LifeText(until.Sub(s.Time))
}
