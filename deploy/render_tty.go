package deploy

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/internal/term"
)

// Live redraws one table in place, a row for each host and a column for each
// phase. Failures and notes are printed above it and stay. Close leaves the
// last state standing.
type Live struct {
	w     io.Writer
	style term.Style
	now   func() time.Time
	stop  chan struct{}
	ended sync.WaitGroup

	mu      sync.Mutex // guards what follows
	title   string
	wave    string
	step    string // what goes on before there is a table
	paused  bool   // until the next release starts
	started time.Time
	hosts   []string
	rows    map[string]*liveRow
	drawn   int // lines on the screen that belong to the region
}

type liveRow struct {
	cells  map[Phase]string
	end    string
	since  time.Time
	active Phase
}

// NewLive starts the renderer.
func NewLive(w io.Writer, style term.Style, now func() time.Time) *Live {
	l := &Live{w: w, style: style, now: now, stop: make(chan struct{}), rows: map[string]*liveRow{}}
	l.ended.Go(l.tick)
	return l
}

// Close draws the last state and ends the redrawing.
func (l *Live) Close() {
	close(l.stop)
	l.ended.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draw("")
	l.drawn, l.paused = 0, true
}

func (l *Live) tick() {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
			l.mu.Lock()
			l.draw("")
			l.mu.Unlock()
		}
	}
}

// Pause takes the region off the screen, so that other text and a question can
// stand there. The start of a release brings it back.
func (l *Live) Pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = true
	l.draw("")
}

// Event takes one event into the table, or prints it above.
func (l *Live) Event(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	above := ""
	switch e.Kind {
	case KindStep:
		l.step = e.Detail
	case KindRelease:
		l.title, l.started, l.step, l.paused = fmt.Sprintf("release %d", e.Number), e.Time, "", false
		l.hosts, l.rows = nil, map[string]*liveRow{}
		for _, h := range e.Hosts {
			l.row(h).cells[PhaseBuild] = "ok"
			if e.Detail == ReleaseRollback {
				l.row(h).cells[PhaseBuild], l.row(h).cells[PhaseCopy] = "-", "-"
			}
		}
	case KindWave:
		l.wave = strings.TrimSpace(fmt.Sprintf("wave %d of %d  %s", e.Wave, e.Waves, e.Detail))
	case KindHost:
		above = l.hostEvent(e)
	case KindFailure:
		above = l.failure(e)
	case KindNote:
		above = e.Detail
		if e.Host != "" {
			above = l.style.Bold(e.Host) + "  " + e.Detail
		}
	case KindResult:
		r := l.row(e.Host)
		r.active = ""
		r.end = string(e.Result.End)
		if e.Result.End == EndDeployed {
			r.end = "done          " + term.Span(e.Result.Took.D())
		}
	}
	if e.State == StateProgress {
		return // the next tick draws it: copies tell their progress often
	}
	l.draw(above)
}

func (l *Live) row(host string) *liveRow {
	if l.rows[host] == nil {
		l.rows[host] = &liveRow{cells: map[Phase]string{}}
		l.hosts = append(l.hosts, host)
	}
	return l.rows[host]
}

// hostEvent moves a cell; what has to stay is given back.
func (l *Live) hostEvent(e Event) string {
	r := l.row(e.Host)
	switch e.State {
	case StateStart:
		r.active, r.since = e.Phase, e.Time
		r.cells[e.Phase] = l.style.Ellipsis()
		if e.Phase == PhaseRestore {
			r.end = "going back"
		}
	case StateProgress:
		r.cells[e.Phase] = clip(e.Detail, 24)
	case StateOK:
		r.active = ""
		r.cells[e.Phase] = "ok"
		if e.Detail != "" && (e.Phase == PhaseCopy || e.Phase == PhaseVerify) {
			r.cells[e.Phase] = "ok " + e.Detail
		}
		if e.Phase == PhaseRestore {
			return fmt.Sprintf("%s  restored, %s, in %s", l.style.Bold(e.Host), e.Detail, term.Span(e.Took.D()))
		}
	case StateFail:
		r.active = ""
		r.cells[e.Phase] = "FAIL"
	}
	return ""
}

func (l *Live) failure(e Event) string {
	lines := []string{fmt.Sprintf("%s  %s  %s", l.style.Bold(e.Host), l.style.Bad("FAIL"), e.Detail)}
	for _, t := range e.Log {
		lines = append(lines, l.style.Bold(e.Host)+"  |  "+t)
	}
	return strings.Join(lines, "\n")
}

// draw replaces the region by above (which stays) and the table.
func (l *Live) draw(above string) {
	var b strings.Builder
	if l.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", l.drawn)
	}
	if above != "" {
		b.WriteString(above + "\n")
	}
	lines := l.lines()
	for _, t := range lines {
		b.WriteString(clipWidth(t, l.style.Width) + "\n")
	}
	l.drawn = len(lines)
	_, _ = io.WriteString(l.w, b.String())
}

func (l *Live) lines() []string {
	if l.paused {
		return nil
	}
	if len(l.hosts) == 0 {
		if l.step != "" {
			return []string{l.step + l.style.Ellipsis()}
		}
		return nil
	}
	t := term.Table{Header: []string{"HOST", "BUILD", "COPY", "ARM", "SWITCH", "VERIFY", "COMMIT", ""}}
	for _, h := range l.hosts {
		r := l.rows[h]
		cells := []string{l.style.Bold(h)}
		for _, p := range Phases() {
			cells = append(cells, l.style.State(r.cells[p]))
		}
		end := r.end
		if end == "" && r.active != "" {
			end = term.Span(l.now().Sub(r.since).Truncate(time.Second))
		}
		t.Add(append(cells, end)...)
	}
	lines := t.Lines()
	if l.title != "" {
		head := l.title
		if l.wave != "" {
			head += "   " + l.wave
		}
		lines = slices.Insert(lines, 0, "", term.Pad(head, 70)+"  "+term.Clock(l.now().Sub(l.started)))
	}
	return lines
}

// clip shortens a cell that changes all the time.
func clip(t string, n int) string {
	r := []rune(t)
	if len(r) <= n {
		return t
	}
	return string(r[:n])
}

// clipWidth keeps a line of the region on one line of the screen, so that the
// cursor finds back.
func clipWidth(t string, width int) string {
	if width == 0 || term.Width(t) < width {
		return t
	}
	return clip(term.Strip(t), width-1)
}
