package controlplane

import (
	"cmp"
	"context"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/mesh"
)

const (
	callTimeout    = 30 * time.Second // of a document over a slow line
	fetchRetry     = 2 * time.Second
	fetchRetryMost = 10 * time.Minute // of a document that several hosts gave wrongly
	fetchesAtOnce  = 8
	fetchHedge     = 3 * time.Second // then another host is asked, too
)

// fetcher gets the documents that others announce and this agent wants. A host
// is asked for one at a time, and several documents are asked for at once: one
// that announces what it does not give, or not soon, keeps nobody from what others
// have. It is the fetch loop's own.
type fetcher struct {
	agent   *Agent
	began   map[catalog.Document]time.Time // when it was last asked for, of those without an answer yet
	asking  map[string]bool                // hosts that are asked
	results chan fetched
}

type fetched struct {
	document catalog.Document
	host     string
	text     []byte
	err      error
}

// fetchLoop lets the fetcher look when something changed, and when it is time to
// try again.
func (a *Agent) fetchLoop(ctx context.Context) {
	f := &fetcher{agent: a, began: map[catalog.Document]time.Time{}, asking: map[string]bool{}, results: make(chan fetched, fetchesAtOnce)}
	retry := time.NewTimer(fetchRetry)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.fetch:
		case <-retry.C:
		case r := <-f.results:
			f.take(r)
		}
		retry.Reset(f.ask(ctx))
	}
}

// ask asks for the documents that are wanted, the latest first, and says when to
// look again.
func (f *fetcher) ask(ctx context.Context) (wait time.Duration) {
	documents := f.agent.documents
	var holders map[catalog.Document][]string
	f.agent.live.look(func(c *catalog.Catalog, _ *mesh.Config, _ time.Time) { holders = c.Documents() })
	documents.refusals.keep(holders)
	wanted := make([]catalog.Document, 0, 1)
	for d := range holders {
		if documents.wants(d) && !documents.known(hex.EncodeToString(d.Hash[:])) {
			wanted = append(wanted, d)
		}
	}
	slices.SortFunc(wanted, func(x, y catalog.Document) int { return cmp.Compare(y.Version, x.Version) })
	wait = time.Hour
	for _, d := range wanted {
		if len(f.asking) >= fetchesAtOnce {
			break // one that ends lets this look again
		}
		if left := fetchHedge - time.Since(f.began[d]); left > 0 {
			wait = min(wait, left)
			continue
		}
		hosts := slices.DeleteFunc(holders[d], func(host string) bool { return f.asking[host] })
		host, later := documents.refusals.choose(d, hosts)
		if host == "" {
			wait = min(wait, later)
			continue
		}
		f.began[d], f.asking[host] = time.Now(), true
		f.agent.work.Go(func() {
			text, err := f.agent.call(ctx, callTimeout, host, methodDocument, []byte(hex.EncodeToString(d.Hash[:])))
			f.results <- fetched{d, host, text, err} // there is room for each
		})
	}
	return wait
}

// take takes what a host gave.
func (f *fetcher) take(r fetched) {
	delete(f.began, r.document)
	delete(f.asking, r.host)
	documents := f.agent.documents
	if r.err != nil {
		f.agent.logger.Info("mesh document not fetched", "version", r.document.Version, "from", r.host, "err", r.err)
		documents.refusals.absent(r.document, r.host)
		return
	}
	if !documents.wants(r.document) {
		return // a later one came
	}
	if err := documents.receive(r.text, r.host, r.document); err != nil {
		documents.refusals.add(r.document, r.host)
	}
}

// retryIn is a while, and a bit more at random, so that not all ask at once.
func retryIn(d time.Duration) time.Duration { return d + rand.N(d) }
