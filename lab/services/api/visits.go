package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// visits are the shop's visits: each is a row in PostgreSQL, and a count in Redis.
// Connections are made when they are needed, and again when they broke.
type visits struct {
	config *pgx.ConnConfig
	count  *redis.Client

	mu   sync.Mutex // guards rows, and its use
	rows *pgx.Conn  // nil or closed: to be made
}

// openVisits connects to nothing yet.
func openVisits(database, redisAddress string) (*visits, error) {
	config, err := pgx.ParseConfig(strings.TrimSpace(database))
	if err != nil {
		return nil, errors.New("read DATABASE_URL: it is no URL of a database") // err may hold the password
	}
	config.ConnectTimeout = patience
	return &visits{config: config, count: redis.NewClient(&redis.Options{
		Addr:                     redisAddress,
		DialTimeout:              patience,
		ReadTimeout:              patience,
		PoolSize:                 4,
		DialerRetries:            1,
		MaxRetries:               1,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})}, nil
}

// close ends the connections; no visit is being added.
func (v *visits) close(ctx context.Context) error {
	err := v.count.Close()
	if v.rows != nil {
		err = errors.Join(err, v.rows.Close(ctx))
	}
	return err
}

// add notes a visit and gives two lines on how many there were.
func (v *visits) add(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rows, err := v.addRow(ctx)
	if err != nil {
		return "", fmt.Errorf("postgres: %w", err)
	}
	count, err := v.count.Incr(ctx, "visits").Result()
	if err != nil {
		return "", fmt.Errorf("redis: %w", err)
	}
	return fmt.Sprintf("  postgres: %d visits\n  redis: %d visits\n", rows, count), nil
}

func (v *visits) addRow(ctx context.Context) (rows int64, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.rows == nil || v.rows.IsClosed() || v.rows.Ping(ctx) != nil {
		if v.rows != nil {
			_ = v.rows.Close(ctx) // it is broken
		}
		if v.rows, err = pgx.ConnectConfig(ctx, v.config); err != nil {
			return 0, err
		}
	}
	err = v.rows.QueryRow(ctx, `WITH one AS (INSERT INTO visits (host, version) VALUES ($1, $2) RETURNING 1)
		SELECT (SELECT count(*) FROM visits) + (SELECT count(*) FROM one)`,
		os.Getenv("NIXMESH_HOST"), os.Getenv("NIXMESH_VERSION")).Scan(&rows)
	return rows, err
}
