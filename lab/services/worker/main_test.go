package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/lab/services/demo"
)

func TestHeartbeatFile(t *testing.T) {
	got, err := heartbeatFile(func(name string) string {
		return map[string]string{"RUNTIME_DIRECTORY": "/run/worker:/run/other", "STATE_DIRECTORY": "/var/lib/worker"}[name]
	})
	if err != nil || got != "/run/worker/heartbeat" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := heartbeatFile(func(string) string { return "" }); err == nil {
		t.Error("no folder is no error")
	}
}

func TestPing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "heartbeat")
	now := time.Now()
	expect := func(when time.Time, want string) {
		t.Helper()
		err := ping(file, when)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("ping = %v; want %q", err, want)
		}
	}
	expect(now, "no such file")
	if err := beat(file, now, false); err != nil {
		t.Fatal(err)
	}
	expect(now.Add(stale), "")
	expect(now.Add(stale+time.Second), "last heartbeat is 6s old")
	if err := beat(file, now, true); err != nil {
		t.Fatal(err)
	}
	expect(now, sick)
}

// A worker that is told to end does, and its heartbeat was written.
func TestWorkEnds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "heartbeat")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := work(ctx, file, demo.Faults{}); err != nil {
		t.Fatal(err)
	}
	if err := ping(file, time.Now()); err != nil {
		t.Error(err)
	}
}
