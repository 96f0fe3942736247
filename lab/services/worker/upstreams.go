package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nixmesh/nixmesh/lab/services/demo"
)

// Patience with one upstream, and how often a worker looks after all of them.
const (
	upstreamTimeout = 2 * time.Second
	upstreamsEvery  = 2 * time.Second
)

// upstream is something that a worker needs, and how it is asked whether it works.
type upstream struct {
	name string
	ask  func(ctx context.Context) error
}

// upstreams are those of the shop's worker: database is the text of DATABASE_URL,
// and without it there are none.
func upstreams(database string) []upstream {
	if database == "" {
		return nil
	}
	return []upstream{
		{"postgres", func(ctx context.Context) error { return askPostgres(ctx, strings.TrimSpace(database)) }},
		{"redis", func(ctx context.Context) error { return askRedis(ctx, "redis.mesh:6379") }},
		{"api", func(ctx context.Context) error { return askAPI(ctx, "http://api.mesh/internal/ping") }},
	}
}

// askAll asks all at once and gives what is wrong, by name.
func askAll(ctx context.Context, all []upstream) map[string]error {
	type answer struct {
		name string
		err  error
	}
	ctx, cancel := context.WithTimeout(ctx, upstreamTimeout)
	defer cancel()
	answers := make(chan answer)
	for _, u := range all {
		go func() { answers <- answer{u.name, u.ask(ctx)} }()
	}
	wrong := map[string]error{}
	for range all {
		if a := <-answers; a.err != nil {
			wrong[a.name] = a.err
		}
	}
	return wrong
}

// watch asks again and again until ctx ends, and logs what changes. A worker is
// well without its upstreams: it goes on as soon as they are there.
func watch(ctx context.Context, all []upstream, to *log.Logger) {
	said := map[string]string{}
	ticker := time.NewTicker(upstreamsEvery)
	defer ticker.Stop()
	for len(all) > 0 {
		wrong := askAll(ctx, all)
		if ctx.Err() != nil {
			return
		}
		for _, u := range all {
			now := "answers"
			if err := wrong[u.name]; err != nil {
				now = err.Error()
			}
			if said[u.name] != now {
				to.Printf("%s: %s", u.name, now)
				said[u.name] = now
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func askPostgres(ctx context.Context, database string) error {
	config, err := pgx.ParseConfig(database)
	if err != nil {
		return fmt.Errorf("DATABASE_URL is no URL of a database") // err may hold the password
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // only read
	var visits int64
	return conn.QueryRow(ctx, "SELECT count(*) FROM visits").Scan(&visits)
}

func askRedis(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	answer := make([]byte, len("+PONG\r\n"))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return fmt.Errorf("no answer to PING: %w", err)
	}
	if string(answer) != "+PONG\r\n" {
		return fmt.Errorf("answers %q to PING", answer)
	}
	return nil
}

func askAPI(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", response.Status)
	}
	return nil
}

// pingUpstreams is `worker ping --upstreams`: it asks all of them itself.
func pingUpstreams(ctx context.Context) error {
	secrets, err := demo.ReadSecrets(os.Getenv, "DATABASE_URL")
	if err != nil {
		return err
	}
	all := upstreams(secrets["DATABASE_URL"])
	wrong := askAll(ctx, all)
	for _, u := range all {
		if err := wrong[u.name]; err != nil {
			return fmt.Errorf("%s: %w", u.name, err)
		}
		fmt.Println(u.name, "answers")
	}
	return nil
}
