package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load makes requests at a steady rate, each on its own goroutine, so that a slow
// answer holds back no other: only when very many are under way, because the machine
// cannot do as much in the time, no more are made until some are answered.
type load struct {
	stop    context.CancelFunc
	running sync.WaitGroup
	skipped int // requests that were not made; to be read when nothing runs

	mu      sync.Mutex // guards everything below
	sent    int
	failed  map[string]int // by what went wrong
	first   string         // failure, with its time
	slowest time.Duration
	times   []time.Duration
	by      map[string]int // answers by who gave them
	began   time.Time
}

const (
	mostUnderWay = 200              // requests of one load
	loadTime     = 90 * time.Second // for one of them
)

// startLoad asks a URL rate times a second until stop. Fresh requests make a
// connection each; the others keep theirs.
func startLoad(c *caller, url string, rate int, fresh bool) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stop: stop, failed: map[string]int{}, by: map[string]int{}, began: time.Now()}
	client := c.Client(false)
	client.Transport.(*http.Transport).DisableKeepAlives = fresh
	client.Timeout = loadTime
	underWay := make(chan struct{}, mostUnderWay)
	l.running.Go(func() {
		ticker := time.NewTicker(time.Second / time.Duration(rate))
		defer ticker.Stop()
		defer client.CloseIdleConnections()
		var requests sync.WaitGroup
		defer requests.Wait()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			select {
			case underWay <- struct{}{}:
			default:
				l.skipped++
				continue
			}
			requests.Go(func() {
				defer func() { <-underWay }()
				l.count(one(client, http.MethodGet, url))
			})
		}
	})
	return l
}

func (l *load) count(s said) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	l.times = append(l.times, s.took)
	l.slowest = max(l.slowest, s.took)
	if s.err == nil && s.status == http.StatusOK {
		l.by[s.header.Get("Answered-By")]++
		return
	}
	what := fmt.Sprint(s.status, " ", s.body)
	if s.err != nil {
		what = s.err.Error()
	}
	if l.first == "" {
		l.first = fmt.Sprintf("%.2f s after the start: %s", time.Since(l.began).Seconds(), s)
	}
	l.failed[what]++
}

// counts are how many requests were sent and failed until now.
func (l *load) counts() (sent, failed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.failed {
		failed += n
	}
	return l.sent, failed
}

// more waits until n more requests were answered, well or not.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	before, _ := l.counts()
	until(t, fmt.Sprintf("%d more answers", n), func() bool { now, _ := l.counts(); return now >= before+n })
}

// end stops the load, logs what came of it and gives how many requests failed.
func (l *load) end(t *testing.T, what string) (failed int) {
	t.Helper()
	l.stop()
	l.running.Wait()
	sent, failed := l.counts()
	slices.Sort(l.times)
	at := func(part float64) time.Duration {
		if len(l.times) == 0 {
			return 0
		}
		return l.times[int(part*float64(len(l.times)-1))].Round(10 * time.Microsecond)
	}
	t.Logf("%s: %d requests, %d failed, %d not made, p50 %s, p99 %s, max %s, by %v", what, sent, failed, l.skipped, at(0.5), at(0.99), l.slowest.Round(time.Millisecond), l.by)
	if failed > 0 {
		t.Logf("%s: first failure %s; all: %v", what, l.first, l.failed)
	}
	return failed
}

// kept are connections that are held and used: all together 100 times a second.
type kept struct {
	stop    context.CancelFunc
	running sync.WaitGroup
	lines   atomic.Int64 // that came back
	bytes   atomic.Int64 // of them
	mu      sync.Mutex   // guards ended
	ended   []string
}

// keep opens connections to a TCP echo, and uses them until end.
func (c *caller) keep(t *testing.T, address string, n int) *kept {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	k := &kept{stop: stop}
	for i := range n {
		conn, err := c.DialContext(t.Context(), "tcp", address)
		if err != nil {
			stop()
			t.Fatalf("%s dials %s: %v", c, address, err)
		}
		k.running.Go(func() {
			defer conn.Close()
			if err := k.echoes(ctx, conn, time.Duration(n)*10*time.Millisecond); err != nil {
				k.mu.Lock()
				k.ended = append(k.ended, fmt.Sprintf("%d: %v", i, err))
				k.mu.Unlock()
			}
		})
	}
	return k
}

// echoes sends a line again and again and wants it back, until ctx ends.
func (k *kept) echoes(ctx context.Context, conn net.Conn, every time.Duration) error {
	r := bufio.NewReader(conn)
	for i := 0; ctx.Err() == nil; i++ {
		want := fmt.Sprint("line ", i)
		if got, err := sayLine(conn, r, want); err != nil || got != want {
			return fmt.Errorf("sent %q, got %q: %w", want, got, err)
		}
		k.lines.Add(1)
		k.bytes.Add(int64(len(want) + 1))
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
	return nil
}

// more waits until n more lines came back.
func (k *kept) more(t *testing.T, n int64) {
	t.Helper()
	before := k.lines.Load()
	until(t, fmt.Sprintf("%d more lines", n), func() bool { return k.lines.Load() >= before+n })
}

// broken are the connections that ended by themselves so far.
func (k *kept) broken() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.ended)
}

// end closes the connections and gives those that had ended before.
func (k *kept) end() []string {
	k.stop()
	k.running.Wait()
	return k.ended
}
