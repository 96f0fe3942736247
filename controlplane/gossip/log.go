package gossip

import (
	"context"
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// memberlist logs lines "[LEVEL] memberlist: text" and knows no limit: one peer
// with another key is a line for each of its packets.
const (
	logBurst  = 20               // lines above debug, at once
	logRefill = 30 * time.Second // for one more
	logLine   = 400              // bytes of a line; a line may quote what a peer sent
)

// logWriter hands memberlist's lines to slog.
type logWriter struct {
	log       *slog.Logger
	onSuspect func(name string)

	mu         sync.Mutex // guards what follows
	tokens     int
	refilled   time.Time
	suppressed int
}

// newLogger returns the logger for memberlist. onSuspect is called with the name
// of each host whose probe this host had to give up; memberlist tells of that
// nowhere else.
func newLogger(to *slog.Logger, onSuspect func(name string)) *log.Logger {
	return log.New(&logWriter{log: to, onSuspect: onSuspect, tokens: logBurst, refilled: time.Now()}, "", 0)
}

func (w *logWriter) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	level, text := levelOf(text)
	if name, ok := suspect(text); ok {
		w.onSuspect(name)
	}
	if !w.log.Enabled(context.Background(), level) {
		return len(line), nil
	}
	var attrs []any
	if level > slog.LevelDebug {
		ok, suppressed := w.take()
		if !ok {
			return len(line), nil
		}
		if suppressed > 0 {
			attrs = append(attrs, "suppressed", suppressed)
		}
	}
	if len(text) > logLine {
		text = strings.ToValidUTF8(text[:logLine], "") + "…"
	}
	w.log.Log(context.Background(), level, "memberlist", append(attrs, "line", text)...)
	return len(line), nil
}

// levelOf takes the level off a line. What memberlist calls an error is a peer's
// or the network's doing, so nothing here is above a warning; and what a
// delegate refused was counted and told by refusals.
func levelOf(text string) (slog.Level, string) {
	level := slog.LevelWarn
	if rest, ok := strings.CutPrefix(text, "["); ok {
		if word, rest, ok := strings.Cut(rest, "] "); ok {
			text = rest
			switch word {
			case "DEBUG":
				level = slog.LevelDebug
			case "INFO":
				level = slog.LevelInfo
			}
		}
	}
	text = strings.TrimPrefix(text, "memberlist: ")
	if strings.HasPrefix(text, "ignoring alive message for ") {
		level = slog.LevelDebug
	}
	return level, text
}

// suspect reads the line of a failed probe (state.go, probeNode).
func suspect(text string) (name string, ok bool) {
	text, ok = strings.CutPrefix(text, "Suspect ")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(text, " has failed, no acks received")
}

// take returns whether a line may be written, and how many were not since the last.
func (w *logWriter) take() (ok bool, suppressed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if fresh := int(now.Sub(w.refilled) / logRefill); fresh > 0 {
		w.tokens = min(logBurst, w.tokens+fresh)
		w.refilled = w.refilled.Add(time.Duration(fresh) * logRefill)
	}
	if w.tokens == 0 {
		w.suppressed++
		return false, 0
	}
	w.tokens--
	suppressed, w.suppressed = w.suppressed, 0
	return true, suppressed
}
