// Command hops measures what two hops of the mesh cost, latency and CPU, against two
// Envoys with a configuration of the same path that was written by hand
// (caller.yaml, callee.yaml), and against no proxy on the called host itself. Rounds
// alternate, so that the machine's other load meets all alike.
//
//	nixmesh -C bench/fleet lab up && nixmesh -C bench/fleet --lab deploy -y
//	go run ./bench/hops bench/fleet
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/bench/benchlab"
)

func main() {
	rate := flag.Int("rate", 1000, "requests a second")
	rounds := flag.Int("rounds", 3, "rounds of each")
	length := flag.Duration("for", 10*time.Second, "length of a round")
	flag.Parse()
	if err := run(context.Background(), flag.Arg(0), *rate, *rounds, *length); err != nil {
		fmt.Fprintln(os.Stderr, "hops:", err)
		os.Exit(1)
	}
}

// way is one way from the caller to the application.
type way struct {
	name   string
	client *http.Client
	url    string
	envoys []int // processes on the way, whose CPU counts

	times  []time.Duration
	cpu    time.Duration
	failed int
}

func run(ctx context.Context, dir string, rate, rounds int, length time.Duration) (err error) {
	l, err := benchlab.Open(ctx, dir)
	if err != nil {
		return err
	}
	front, err := l.User("a", "front")
	if err != nil {
		return err
	}
	single, err := l.User("b", "single")
	if err != nil {
		return err
	}
	port, err := benchlab.Port(dir, "single")
	if err != nil {
		return err
	}
	pair, err := startPair(ctx, l, port)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pair.stop()) }()
	var product []int
	for _, host := range []string{"a", "b"} {
		envoy, err := l.Process(host, "nixmesh-envoy")
		if err != nil {
			return err
		}
		product = append(product, envoy)
	}
	ways := []*way{
		{name: "mesh", client: front.Client(false), url: "http://single.mesh/open/", envoys: product},
		{name: "static Envoys", client: front.Client(false), url: "http://127.0.0.1:15445/open/", envoys: pair.pids()},
		{name: "direct, on the called host", client: single.Client(false), url: fmt.Sprintf("http://127.0.0.1:%d/open/", port)},
	}
	for range rounds {
		for _, w := range ways {
			if err := w.round(rate, length); err != nil {
				return err
			}
		}
	}
	benchlab.Title(fmt.Sprintf("%d requests/s, %d rounds of %s, 16 connections", rate, rounds, length))
	for _, w := range ways {
		if w.failed > 0 {
			return fmt.Errorf("%s: %d of %d requests failed", w.name, w.failed, len(w.times))
		}
		n := len(w.times)
		benchlab.Report(w.name, w.times)
		if len(w.envoys) > 0 {
			fmt.Printf("%-28s %.2f CPU s of both Envoys for 10,000 requests\n", "", w.cpu.Seconds()/float64(n)*10_000)
		}
	}
	return nil
}

// round asks at a rate for a time, sixteen at once at most.
func (w *way) round(rate int, length time.Duration) error {
	before, err := cpuOf(w.envoys)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var running sync.WaitGroup
	due := make(chan time.Time, rate)
	for range 16 {
		running.Go(func() {
			for at := range due {
				err := w.ask()
				mu.Lock()
				w.times = append(w.times, time.Since(at)) // from when it was due: a queue counts
				if err != nil {
					w.failed++
				}
				mu.Unlock()
			}
		})
	}
	begin := time.Now()
	for i := range int(length.Seconds() * float64(rate)) {
		at := begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(at))
		due <- time.Now()
	}
	close(due)
	running.Wait()
	after, err := cpuOf(w.envoys)
	w.cpu += after - before
	return err
}

func (w *way) ask() error {
	response, err := w.client.Get(w.url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}
