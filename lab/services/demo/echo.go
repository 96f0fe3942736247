package demo

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxKeys bounds the keys that Echo counts attempts of.
const maxKeys = 4096

// Echo answers with what it was asked: who answers, who calls as the mesh has it,
// method, path and headers. A request may say how it is to be answered:
//
//	?status=503        with this status
//	?sleep=300ms       after this time
//	?fail=2&key=NAME   with 503 the first two times that this process sees the key
type Echo struct {
	Name string // of the service

	mu       sync.Mutex
	attempts map[string]int // by key
}

// ServeHTTP answers one request.
func (e *Echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	status := http.StatusOK
	if s := q.Get("status"); s != "" {
		if _, err := fmt.Sscanf(s, "%d", &status); err != nil || status < 200 || status > 599 {
			http.Error(w, "status is no number from 200 to 599", http.StatusBadRequest)
			return
		}
	}
	if s := q.Get("sleep"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			http.Error(w, "sleep is no duration such as 300ms", http.StatusBadRequest)
			return
		}
		sleep(r.Context(), d)
	}
	attempt := e.attempt(q.Get("key"))
	var fail int
	if _, err := fmt.Sscanf(q.Get("fail"), "%d", &fail); err == nil && attempt <= fail {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Answered-By", Self(e.Name))
	w.WriteHeader(status)
	fmt.Fprintf(w, "%s\ncaller %s\nattempt %d\n%s %s %s\nhost: %s\n", Self(e.Name), Caller(r), attempt, r.Method, r.URL.RequestURI(), r.Proto, r.Host)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(w, "%s: %s\n", strings.ToLower(name), strings.Join(r.Header[name], ", "))
	}
	if r.ContentLength != 0 {
		fmt.Fprintln(w)
		_, _ = io.Copy(w, r.Body) // the caller sees what is missing
	}
}

// attempt counts what came with a key, this one included; all without one are the first.
func (e *Echo) attempt(key string) int {
	if key == "" {
		return 1
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.attempts == nil || len(e.attempts) >= maxKeys {
		e.attempts = map[string]int{}
	}
	e.attempts[key]++
	return e.attempts[key]
}

// Caller is the name that the mesh's proxy vouches for: the URI of the last element
// of x-forwarded-client-cert, "nobody" where there is none.
func Caller(r *http.Request) string {
	elements := strings.Split(r.Header.Get("X-Forwarded-Client-Cert"), ",")
	for pair := range strings.SplitSeq(elements[len(elements)-1], ";") {
		if name, value, found := strings.Cut(strings.TrimSpace(pair), "="); found && strings.EqualFold(name, "URI") {
			return value
		}
	}
	return "nobody"
}
