// Api is a demo service: the shop's data, of which it has none.
//
//	api --listen ADDRESS
//
// "/", "/reports/" and "/internal/" say who answers to whom. Faults: see
// package demo.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/nixmesh/nixmesh/lab/services/demo"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	flag.Parse()
	os.Exit(demo.Run("api", func(ctx context.Context, f demo.Faults) error {
		s := &demo.Server{
			Name:   "api",
			Listen: *listen,
			Mux:    pages(),
			Faults: f,
			Log:    log.New(os.Stderr, "", 0),
		}
		return s.Serve(ctx)
	}))
}

// pages are the paths of the service. Each takes any method: what a caller may
// do is the mesh's to say.
func pages() *http.ServeMux {
	mux := http.NewServeMux()
	for path, what := range map[string]string{"/{$}": "", "/reports/": " report", "/internal/": " internal"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s%s %s %s\n", demo.Self("api"), what, r.Method, r.URL.Path)
		})
	}
	return mux
}
