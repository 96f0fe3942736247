package deploy

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/internal/term"
)

// Heartbeat is how long plain output may be silent.
const Heartbeat = 30 * time.Second

// Plain writes one greppable line for each change of state, with the time, and
// never moves the cursor. Close ends its heartbeat.
type Plain struct {
	w     io.Writer
	now   func() time.Time
	stop  chan struct{}
	ended sync.WaitGroup

	mu    sync.Mutex // guards what follows
	width int
	last  time.Time
	busy  map[string]Phase
	step  string
}

// NewPlain starts the renderer.
func NewPlain(w io.Writer, now func() time.Time) *Plain {
	p := &Plain{w: w, now: now, stop: make(chan struct{}), busy: map[string]Phase{}, last: now()}
	p.ended.Go(p.beat)
	return p
}

// Close ends the heartbeat.
func (p *Plain) Close() {
	close(p.stop)
	p.ended.Wait()
}

// beat writes a line after silence, so that nobody takes a long build for a
// hang.
func (p *Plain) beat() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		p.mu.Lock()
		if p.now().Sub(p.last) >= Heartbeat {
			var parts []string
			for h, phase := range p.busy {
				parts = append(parts, h+":"+string(phase))
			}
			p.line(p.now(), strings.TrimSpace("still at it "+p.step+" "+list(parts)))
		}
		p.mu.Unlock()
	}
}

func (p *Plain) line(t time.Time, text string) {
	p.last = p.now()
	fmt.Fprintf(p.w, "%s %s\n", t.Local().Format("15:04:05"), strings.TrimRight(text, " "))
}

// Event writes the lines of one event.
func (p *Plain) Event(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	host := ""
	if e.Host != "" {
		host = term.Pad(e.Host, p.width) + "  "
	}
	switch e.Kind {
	case KindRelease:
		p.step = ""
		for _, h := range e.Hosts {
			p.width = max(p.width, len(h))
		}
		p.line(e.Time, fmt.Sprintf("release %d start fleet=%s hosts=%d by=%s kind=%s", e.Number, e.Fleet, len(e.Hosts), e.By, e.Detail))
	case KindWave:
		p.line(e.Time, fmt.Sprintf("release %d wave %d/%d %s hosts=%s", e.Number, e.Wave, e.Waves, e.Detail, strings.Join(e.Hosts, ",")))
	case KindHost:
		p.host(host, e)
	case KindFailure:
		for _, l := range e.Log {
			p.line(e.Time, host+"|  "+l)
		}
	case KindStep:
		p.busy = map[string]Phase{}
		p.step = e.Detail
	case KindNote:
		p.line(e.Time, host+"note  "+e.Detail)
	case KindResult:
		delete(p.busy, e.Host)
		text := fmt.Sprintf("result  %s gen=%d", strings.ReplaceAll(string(e.Result.End), " ", "_"), e.Result.Gen)
		if e.Result.Took > 0 {
			text += " " + compact(e.Result.Took)
		}
		p.line(e.Time, host+text)
	case KindSummary:
		p.line(e.Time, summaryLine(e.Summary))
	}
}

func (p *Plain) host(host string, e Event) {
	switch e.State {
	case StateStart:
		p.busy[e.Host] = e.Phase
		return
	case StateProgress:
		return
	}
	delete(p.busy, e.Host)
	text := fmt.Sprintf("%s%-7s %s", host, e.Phase, e.State)
	if e.State == StateOK {
		text = fmt.Sprintf("%s%-7s %-2s", host, e.Phase, e.State)
	}
	if e.Detail != "" {
		text += "  " + e.Detail
	}
	if e.Took > 0 && e.State == StateOK {
		text += " " + compact(e.Took)
	}
	p.line(e.Time, text)
}

// compact is a duration without blanks: "2.1s", "14s".
func compact(s Seconds) string { return strings.ReplaceAll(term.Span(s.D()), " ", "") }

// summaryLine is the end in one line: counts by end, and the exit code.
func summaryLine(s *Summary) string {
	word := "done"
	if s.Exit != ExitDone {
		word = "stopped"
	}
	text := fmt.Sprintf("release %d %s", s.Number, word)
	for _, end := range []End{EndDeployed, EndUnchanged, EndTested, EndRolledBack, EndReverted, EndFailed, EndRefused, EndNotStarted, EndUnreachable, EndNoAnswer, EndNeedsOperator} {
		if n := s.count(end); n > 0 {
			text += fmt.Sprintf(" %s=%d", strings.ReplaceAll(string(end), " ", "_"), n)
		}
	}
	return fmt.Sprintf("%s exit=%d", text, s.Exit)
}
