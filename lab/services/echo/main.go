// Echo is a service for tests: it sends back what it gets, in the protocols that it
// is told to speak, and counts what came.
//
//	echo [--http ADDRESS] [--grpc ADDRESS] [--tcp ADDRESS] [--banner ADDRESS]
//
//	--http    HTTP/1.1 and HTTP/2 without TLS: any path is package demo's Echo;
//	          /ws is a WebSocket that echoes messages, /stats what was counted
//	--grpc    grpc.health.v1.Health, and nixmesh.lab.Echo/Stream, which echoes
//	          a stream of google.protobuf.StringValue
//	--tcp     a connection gets its bytes back
//	--banner  a connection gets a line at once that says who answers, then its bytes
//
// Checks of health are GET /healthz, and that of gRPC. Faults: see package demo.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"log"
	"os"

	"github.com/nixmesh/nixmesh/lab/services/demo"
)

func main() {
	var o options
	flag.StringVar(&o.http, "http", "", "address of HTTP/1.1 and HTTP/2")
	flag.StringVar(&o.grpc, "grpc", "", "address of gRPC")
	flag.StringVar(&o.tcp, "tcp", "", "address that echoes bytes")
	flag.StringVar(&o.banner, "banner", "", "address that says who answers, then echoes bytes")
	flag.Parse()
	os.Exit(demo.Run("echo", func(ctx context.Context, f demo.Faults) error {
		return o.serve(ctx, f, log.New(os.Stderr, "", 0))
	}))
}

// options are the addresses to listen on; empty ones are not.
type options struct{ http, grpc, tcp, banner string }

// serve answers on all of them until ctx ends, or one of them fails.
func (o options) serve(ctx context.Context, f demo.Faults, logger *log.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	e := &echo{name: cmp.Or(os.Getenv("NIXMESH_SERVICE"), "echo"), faults: f, log: logger}
	servers := map[string]func(context.Context, string) error{
		o.http:   e.serveHTTP,
		o.grpc:   e.serveGRPC,
		o.tcp:    func(ctx context.Context, address string) error { return e.serveTCP(ctx, address, false) },
		o.banner: func(ctx context.Context, address string) error { return e.serveTCP(ctx, address, true) },
	}
	delete(servers, "")
	if len(servers) == 0 {
		return errors.New("no address to listen on")
	}
	ended := make(chan error)
	for address, server := range servers {
		go func() { ended <- server(ctx, address) }()
	}
	var all []error
	for range servers {
		all = append(all, <-ended)
		stop() // one ended: so do the others
	}
	return errors.Join(all...)
}

// echo is what all servers of the process share.
type echo struct {
	name   string
	faults demo.Faults
	log    *log.Logger
	stats  stats
}
