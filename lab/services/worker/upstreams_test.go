package main

import (
	"bytes"
	"context"
	"errors"
	"log"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What an upstream says is logged when it changes, and a worker goes on meanwhile.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		began := time.Now()
		flaky := upstream{"api", func(context.Context) error {
			if age := time.Since(began); age < 3*upstreamsEvery || age > 5*upstreamsEvery {
				return errors.New("connection refused")
			}
			return nil
		}}
		steady := upstream{"redis", func(context.Context) error { return nil }}
		var said bytes.Buffer
		done := make(chan struct{})
		go func() {
			defer close(done)
			watch(ctx, []upstream{flaky, steady}, log.New(&said, "", 0))
		}()
		time.Sleep(10 * upstreamsEvery)
		stop()
		<-done
		want := "api: connection refused\nredis: answers\napi: answers\napi: connection refused\n"
		if said.String() != want {
			t.Errorf("said %q, want %q", said.String(), want)
		}
	})
}

func TestNoUpstreams(t *testing.T) {
	watch(t.Context(), upstreams(""), nil) // ends at once
	err := askPostgres(t.Context(), "postgres://worker:secret@shop:port/shop")
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("no URL: %v", err)
	}
}
