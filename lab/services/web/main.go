// Web is a demo service: the shop's front page.
//
//	web --listen ADDRESS [--redis ADDRESS]
//
// "/" says who answers, "/api" asks the api at $API_URL and counts the page in
// Redis, "/echo/" shows the request. It is well without the api, and its pages
// without Redis. Faults: see package demo.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/nixmesh/nixmesh/lab/services/demo"
)

// apiTimeout is the patience of the page with the api. That of its upstream is less.
const apiTimeout = 30 * time.Second

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	redis := flag.String("redis", "redis.mesh:6379", "address of the shop's Redis")
	flag.Parse()
	os.Exit(demo.Run("web", func(ctx context.Context, f demo.Faults) error {
		w := &web{api: os.Getenv("API_URL")}
		if w.api != "" {
			w.counter = newCounter(*redis)
			defer w.counter.close()
		}
		s := &demo.Server{
			Name:   "web",
			Listen: *listen,
			Mux:    w.pages(),
			Faults: f,
			Log:    log.New(os.Stderr, "", 0),
		}
		return s.Serve(ctx)
	}))
}

// web is what the pages need.
type web struct {
	api     string   // URL, or empty
	counter *counter // of pages, nil = none
}

// pages are the paths of the service.
func (web *web) pages() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, demo.Self("web"))
	})
	mux.HandleFunc("GET /api", func(w http.ResponseWriter, r *http.Request) {
		answer, err := web.ask(r.Context())
		if err != nil {
			http.Error(w, fmt.Sprintf("%s: %v", demo.Self("web"), err), http.StatusBadGateway)
			return
		}
		fmt.Fprintf(w, "%s\n%s%s", demo.Self("web"), web.counter.add(r.Context()), answer)
	})
	mux.Handle("/echo/", &demo.Echo{Name: "web"})
	return mux
}

// ask gets the api's front page.
func (web *web) ask(ctx context.Context) (string, error) {
	if web.api == "" {
		return "", fmt.Errorf("ask api: API_URL is not set")
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, web.api, nil)
	if err != nil {
		return "", fmt.Errorf("ask api: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("ask api: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return "", fmt.Errorf("read api's answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("ask api: %s: %s", response.Status, body)
	}
	return string(body), nil
}
