// Api is a demo service: the shop's data.
//
//	api --listen ADDRESS [--redis ADDRESS] [--stripe URL]
//
// "/", "/reports/" and "/internal/" say who answers to whom; "/" also notes the
// visit in the database of $DATABASE_URL_FILE and counts it in Redis, where it was
// given a database. "/charge" asks the payment provider, and "/echo/" shows the
// request. It is well, and starts, without any of them; it ends at once when a
// secret that it was given ($DATABASE_URL_FILE, $STRIPE_KEY_FILE) cannot be read.
// Faults: see package demo.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"

	"github.com/nixmesh/nixmesh/lab/services/demo"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	redis := flag.String("redis", "redis.mesh:6379", "address of the shop's Redis")
	stripe := flag.String("stripe", "http://stripe.mesh/v1/charges", "URL of the payment provider")
	flag.Parse()
	os.Exit(demo.Run("api", func(ctx context.Context, f demo.Faults) (err error) {
		secrets, err := demo.ReadSecrets(os.Getenv, "DATABASE_URL", "STRIPE_KEY")
		if err != nil {
			return err
		}
		logger := log.New(os.Stderr, "", 0)
		a := &api{stripe: *stripe}
		if url := secrets["DATABASE_URL"]; url != "" {
			if a.visits, err = openVisits(url, *redis); err != nil {
				logger.Print(err) // well without it: "/" says the same
				a.broken = err
			} else {
				defer func() { err = errors.Join(err, a.visits.close(context.WithoutCancel(ctx))) }()
			}
		}
		s := &demo.Server{
			Name:   "api",
			Listen: *listen,
			Mux:    a.pages(),
			Faults: f,
			Log:    logger,
		}
		return s.Serve(ctx)
	}))
}
