package gossip

import (
	"log/slog"
	"strings"
	"testing"
)

func TestLogLevels(t *testing.T) {
	for line, want := range map[string]string{
		"[DEBUG] memberlist: Stream connection from=10.0.0.2:41":                                 "DEBUG Stream connection from=10.0.0.2:41",
		"[INFO] memberlist: Marking b as failed, suspect timeout reached (2 peer confirmations)": "INFO Marking b as failed, suspect timeout reached (2 peer confirmations)",
		"[WARN] memberlist: Refuting a suspect message (from: b)":                                "WARN Refuting a suspect message (from: b)",
		"[ERR] memberlist: Decrypt packet failed: x":                                             "WARN Decrypt packet failed: x",
		"[ERROR] memberlist: Failed to encrypt local state: x":                                   "WARN Failed to encrypt local state: x",
		"[WARN] memberlist: ignoring alive message for 'x': refused: unknown_name":               "DEBUG ignoring alive message for 'x': refused: unknown_name",
		"Err: Could not set the deadline: x":                                                     "WARN Err: Could not set the deadline: x",
		"[":                                                                                      "WARN [",
	} {
		level, text := levelOf(line)
		if got := level.String() + " " + text; got != want {
			t.Errorf("%q is %q, want %q", line, got, want)
		}
	}
}

func TestLogTellsSuspicion(t *testing.T) {
	var names []string
	l := newLogger(slog.New(slog.DiscardHandler), func(name string) { names = append(names, name) })
	l.Printf("[INFO] memberlist: Suspect %s has failed, no acks received", "app1")
	l.Printf("[INFO] memberlist: Suspect nobody")
	if len(names) != 1 || names[0] != "app1" {
		t.Errorf("names %v", names)
	}
}

func TestLogCutsLines(t *testing.T) {
	var out lines
	l := newLogger(slog.New(slog.NewTextHandler(&out, nil)), func(string) {})
	l.Printf("[WARN] memberlist: %s", strings.Repeat("é", 10000))
	if n := len(out.String()); n > 2*logLine {
		t.Errorf("%d bytes", n)
	}
}
