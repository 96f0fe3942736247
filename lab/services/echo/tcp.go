package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/nixmesh/nixmesh/lab/services/demo"
)

// serveTCP gives connections their bytes back, until ctx ends and closes them.
func (e *echo) serveTCP(ctx context.Context, address string, banner bool) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	e.log.Printf("listening on %s", listener.Addr())
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		running.Go(func() { e.echoTCP(ctx, conn, banner) })
	}
}

func (e *echo) echoTCP(ctx context.Context, conn net.Conn, banner bool) {
	defer e.stats.opened()()
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if banner {
		if _, err := fmt.Fprintln(conn, demo.Self(e.name)); err != nil {
			return
		}
	}
	_, _ = io.Copy(counted{conn, &e.stats}, struct{ io.Reader }{conn}) // the caller is gone, or ctx is over
}
