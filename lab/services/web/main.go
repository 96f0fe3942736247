// Web is a demo service: the shop's front page.
//
//	web --listen ADDRESS
//
// "/" says who answers, "/api" asks the api at $API_URL. It is well without
// the api. Faults: see package demo.
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

// apiTimeout is the patience of the page with the api.
const apiTimeout = 2 * time.Second

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	flag.Parse()
	os.Exit(demo.Run("web", func(ctx context.Context, f demo.Faults) error {
		s := &demo.Server{
			Name:   "web",
			Listen: *listen,
			Mux:    pages(os.Getenv("API_URL")),
			Faults: f,
			Log:    log.New(os.Stderr, "", 0),
		}
		return s.Serve(ctx)
	}))
}

// pages are the paths of the service; api is the URL of the api, or empty.
func pages(api string) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, demo.Self("web"))
	})
	mux.HandleFunc("GET /api", func(w http.ResponseWriter, r *http.Request) {
		answer, err := ask(r.Context(), api)
		if err != nil {
			http.Error(w, fmt.Sprintf("%s: %v", demo.Self("web"), err), http.StatusBadGateway)
			return
		}
		fmt.Fprintf(w, "%s\n%s", demo.Self("web"), answer)
	})
	return mux
}

// ask gets the api's front page.
func ask(ctx context.Context, api string) (string, error) {
	if api == "" {
		return "", fmt.Errorf("ask api: API_URL is not set")
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, api, nil)
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
		return "", fmt.Errorf("ask api: %s", response.Status)
	}
	return string(body), nil
}
