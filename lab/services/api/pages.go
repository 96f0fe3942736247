package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/nixmesh/nixmesh/lab/services/demo"
)

// patience bounds what a page waits for its upstreams.
const patience = 10 * time.Second

// api is what the pages need.
type api struct {
	visits *visits // nil without a database
	broken error   // why there is no database, though one was given
	stripe string  // URL
}

// pages are the paths of the service. Each takes any method: what a caller may
// do is the mesh's to say.
func (a *api) pages() *http.ServeMux {
	mux := http.NewServeMux()
	for path, what := range map[string]string{"/reports/": " report", "/internal/": " internal"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s%s %s %s\n", demo.Self("api"), what, r.Method, r.URL.Path)
		})
	}
	mux.HandleFunc("/{$}", a.front)
	mux.HandleFunc("/charge", a.charge)
	mux.Handle("/echo/", &demo.Echo{Name: "api"})
	return mux
}

// front says who answers, and how often that was asked.
func (a *api) front(w http.ResponseWriter, r *http.Request) {
	said := fmt.Sprintf("%s %s %s\n", demo.Self("api"), r.Method, r.URL.Path)
	err := a.broken
	if a.visits != nil {
		var counted string
		counted, err = a.visits.add(r.Context())
		said += counted
	}
	if err != nil {
		http.Error(w, fmt.Sprintf("%s: %v", demo.Self("api"), err), http.StatusBadGateway)
		return
	}
	_, _ = io.WriteString(w, said) // the caller sees what is missing
}

// charge hands on what the payment provider says.
func (a *api) charge(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.stripe, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		http.Error(w, fmt.Sprintf("%s: ask stripe: %v", demo.Self("api"), err), http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	w.WriteHeader(response.StatusCode)
	fmt.Fprintf(w, "%s asked stripe: %s\n", demo.Self("api"), response.Status)
	_, _ = io.Copy(w, io.LimitReader(response.Body, 64<<10)) // the caller sees what is missing
}
