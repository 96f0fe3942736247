package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func env(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestReadFaults(t *testing.T) {
	got, err := ReadFaults(env(map[string]string{"FAIL_HEALTH": "1", "CRASH_AFTER": "2s", "SLOW": "10ms"}))
	want := Faults{FailHealth: true, CrashAfter: 2 * time.Second, Slow: 10 * time.Millisecond}
	if err != nil || got != want {
		t.Errorf("ReadFaults = %+v, %v; want %+v", got, err, want)
	}
	for name, value := range map[string]string{"FAIL_HEALTH": "yes", "SLOW": "10", "CRASH_AFTER": "-1s"} {
		if _, err := ReadFaults(env(map[string]string{name: value})); err == nil {
			t.Errorf("%s=%s is no error", name, value)
		}
	}
}

func TestHealth(t *testing.T) {
	for _, tt := range []struct {
		faults Faults
		status int
		logged string
	}{
		{Faults{}, http.StatusOK, ""},
		{Faults{FailHealth: true}, http.StatusServiceUnavailable, "unhealthy: FAIL_HEALTH=1\n"},
	} {
		var logged bytes.Buffer
		s := &Server{Mux: http.NewServeMux(), Faults: tt.faults, Log: log.New(&logged, "", 0)}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/healthz", nil))
		if w.Code != tt.status || logged.String() != tt.logged {
			t.Errorf("%+v: status %d, log %q; want %d, %q", tt.faults, w.Code, &logged, tt.status, tt.logged)
		}
	}
}

// A request that runs when the service is told to end gets its answer.
func TestServeDrains(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	entered := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		time.Sleep(50 * time.Millisecond)
		fmt.Fprint(w, "answer")
	})
	read, write := io.Pipe()
	s := &Server{Listen: "127.0.0.1:0", Mux: mux, Log: log.New(write, "", 0)}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	line := make([]byte, 100)
	n, err := read.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSpace(strings.TrimPrefix(string(line[:n]), "listening on "))
	go func() { <-entered; stop() }()
	response, err := http.Get("http://" + address + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != "answer" {
		t.Errorf("got %q, %v", body, err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}
