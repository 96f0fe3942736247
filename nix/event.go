package nix

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
)

// EventKind says what an Event tells.
type EventKind string

// The kinds of events.
const (
	EventEvaluate  EventKind = "evaluate"  // an evaluation began; Done: it ended
	EventBuild     EventKind = "build"     // a derivation is being built (Path); Done: it ended
	EventCopyPath  EventKind = "copy-path" // a path is being copied (Path); Done: it arrived
	EventProgress  EventKind = "progress"  // Paths, OfPaths, Bytes, OfBytes moved
	EventBuildLine EventKind = "build-line"
	EventMessage   EventKind = "message" // nix says Text; Level as Nix has it (0 error, 1 warning, 3 info)
	EventNote      EventKind = "note"    // we say Text
	EventRetry     EventKind = "retry"   // a copy starts again, Text says why
)

// Event is one thing that happened while nix ran.
type Event struct {
	Kind    EventKind
	Host    string
	Path    string // store path or derivation
	Text    string
	Level   int
	Done    bool
	Paths   int64 // copied or built so far
	OfPaths int64
	Bytes   int64
	OfBytes int64
}

// Numbers of Nix's internal-json log (nix 2.26, logging.hh).
const (
	activityCopyPath  = 100
	activityCopyPaths = 103
	activityBuilds    = 104
	activityBuild     = 105
	resultBuildLine   = 101
	resultProgress    = 105
	resultSetExpected = 106
)

// logLine is one line of the internal-json log, behind "@nix ".
type logLine struct {
	Action string            `json:"action"`
	ID     int64             `json:"id"`
	Type   int               `json:"type"`
	Level  int               `json:"level"`
	Text   string            `json:"text"`
	Msg    string            `json:"msg"`
	Fields []json.RawMessage `json:"fields"`
}

// logReader turns the stderr of nix into events and keeps its error text. With
// a nil sink it reads plain text.
type logReader struct {
	sink func(Event)

	mu       sync.Mutex // guards what follows
	rest     []byte
	errors   []string
	plain    []string
	kinds    map[int64]Event
	logs     map[string][]string // derivation -> the end of its build log
	copying  map[int64]bytesOf
	expected int64
	moved    int64
	paths    [2]int64
}

type bytesOf struct{ done, of int64 }

// keptLines bounds what is kept of plain output, logTail what an error shows
// of a failed build.
const (
	keptLines = 200
	logTail   = 20
)

func newLogReader(sink func(Event)) *logReader {
	return &logReader{sink: sink, kinds: map[int64]Event{}, logs: map[string][]string{}, copying: map[int64]bytesOf{}}
}

func (l *logReader) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		l.line(string(l.rest[:i]))
		l.rest = l.rest[i+1:]
	}
}

func (l *logReader) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		l.line(string(l.rest))
		l.rest = nil
	}
}

// errorText is Nix's own error, else the plain lines. With internal-json nix
// leaves the log of a failed build out of its error; it is added here.
func (l *logReader) errorText() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errors) > 0 {
		text := strings.Join(l.errors, "\n")
		for drv, log := range l.logs {
			if drv != "" && strings.Contains(text, "'"+drv+"' failed") {
				text += "\nend of its log:\n  " + strings.Join(log, "\n  ")
			}
		}
		return text
	}
	return strings.TrimSpace(strings.Join(l.plain, "\n"))
}

func (l *logReader) line(text string) {
	body, ok := strings.CutPrefix(text, "@nix ")
	var line logLine
	if !ok || json.Unmarshal([]byte(body), &line) != nil {
		l.plain = append(l.plain, stripColour(text))
		if len(l.plain) > keptLines {
			l.plain = l.plain[1:]
		}
		return
	}
	switch line.Action {
	case "msg":
		text := strings.TrimSpace(stripColour(line.Msg))
		if line.Level == 0 {
			l.errors = append(l.errors, text)
		}
		l.emit(Event{Kind: EventMessage, Level: line.Level, Text: text})
	case "start":
		l.start(line)
	case "stop":
		if e, ok := l.kinds[line.ID]; ok {
			delete(l.kinds, line.ID)
			e.Done = true
			l.emit(e)
		}
		if b, ok := l.copying[line.ID]; ok {
			delete(l.copying, line.ID)
			l.moved += b.done
			l.progress()
		}
	case "result":
		l.result(line)
	}
}

func (l *logReader) start(line logLine) {
	switch line.Type {
	case activityBuild:
		e := Event{Kind: EventBuild, Path: textField(line.Fields, 0), Text: stripColour(line.Text)}
		l.kinds[line.ID] = e
		l.emit(e)
	case activityCopyPath:
		e := Event{Kind: EventCopyPath, Path: textField(line.Fields, 0), Text: stripColour(line.Text)}
		l.kinds[line.ID] = e
		l.copying[line.ID] = bytesOf{}
		l.emit(e)
	}
}

func (l *logReader) result(line logLine) {
	switch line.Type {
	case resultProgress:
		if _, ok := l.copying[line.ID]; ok {
			l.copying[line.ID] = bytesOf{intField(line.Fields, 0), intField(line.Fields, 1)}
		} else if of := intField(line.Fields, 1); of > 0 {
			l.paths = [2]int64{intField(line.Fields, 0), of}
		}
		l.progress()
	case resultSetExpected:
		if intField(line.Fields, 0) == activityCopyPath {
			l.expected = intField(line.Fields, 1)
			l.progress()
		}
	case resultBuildLine:
		drv, text := l.kinds[line.ID].Path, stripColour(textField(line.Fields, 0))
		if l.logs[drv] = append(l.logs[drv], text); len(l.logs[drv]) > logTail {
			l.logs[drv] = l.logs[drv][1:]
		}
		l.emit(Event{Kind: EventBuildLine, Path: drv, Text: text})
	}
}

func (l *logReader) progress() {
	e := Event{Kind: EventProgress, Paths: l.paths[0], OfPaths: l.paths[1], Bytes: l.moved, OfBytes: l.expected}
	for _, b := range l.copying {
		e.Bytes += b.done
	}
	l.emit(e)
}

func (l *logReader) emit(e Event) {
	if l.sink != nil {
		l.sink(e)
	}
}

func textField(fields []json.RawMessage, i int) string {
	var s string
	if i < len(fields) {
		_ = json.Unmarshal(fields[i], &s) // a number there is no text
	}
	return s
}

func intField(fields []json.RawMessage, i int) int64 {
	var n int64
	if i < len(fields) {
		_ = json.Unmarshal(fields[i], &n) // a text there is no number
	}
	return n
}

// stripColour removes ANSI sequences: colours are the terminal package's.
func stripColour(s string) string {
	if !strings.Contains(s, "\x1b") {
		return s
	}
	return regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]").ReplaceAllString(s, "")
}
