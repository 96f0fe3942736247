package controlplane

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

// refusals remember which hosts did not give a document that they announce, or
// gave one that this agent refused. That is held against the host and not against
// the document: its hash covers neither the signature nor the number under which
// it was announced, so that otherwise one host could spoil it for all.
type refusals struct {
	mu  sync.Mutex // guards what follows
	all map[catalog.Document]*refusal
}

type refusal struct {
	hosts map[string]time.Time // not asked again before; zero = not again
	times int                  // that the document was refused
	next  time.Time            // nobody is asked before
}

func newRefusals() *refusals { return &refusals{all: map[catalog.Document]*refusal{}} }

// choose picks a host at random that may be asked for a document. Without one it
// says how long to wait.
func (r *refusals) choose(d catalog.Document, hosts []string) (host string, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	wait = time.Hour
	known := r.all[d]
	if known != nil && known.next.After(now) {
		return "", known.next.Sub(now)
	}
	var good []string
	for _, h := range hosts {
		if known != nil {
			if until, failed := known.hosts[h]; failed && until.IsZero() {
				continue
			} else if until.After(now) {
				wait = min(wait, until.Sub(now))
				continue
			}
		}
		good = append(good, h)
	}
	if len(good) == 0 {
		return "", wait
	}
	return good[rand.N(len(good))], 0
}

// absent says that a host did not answer.
func (r *refusals) absent(d catalog.Document, host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of(d).hosts[host] = time.Now().Add(retryIn(fetchRetry))
}

// add says that what a host gave was refused. The next host is asked at once, and
// every further one after twice as long.
func (r *refusals) add(d catalog.Document, host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.of(d)
	known.hosts[host] = time.Time{}
	if known.times++; known.times > 1 {
		known.next = time.Now().Add(min(fetchRetry<<min(known.times-2, 16), fetchRetryMost))
	}
}

// of is what is known of a document. mu is held.
func (r *refusals) of(d catalog.Document) *refusal {
	known := r.all[d]
	if known == nil {
		known = &refusal{hosts: map[string]time.Time{}}
		r.all[d] = known
	}
	return known
}

// keep forgets what is not announced any more, so that there is no more to
// remember than hosts announce.
func (r *refusals) keep(holders map[catalog.Document][]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for d, known := range r.all {
		for h := range known.hosts {
			if !slices.Contains(holders[d], h) {
				delete(known.hosts, h)
			}
		}
		if len(known.hosts) == 0 {
			delete(r.all, d)
		}
	}
}

// forget lets everybody be asked again.
func (r *refusals) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.all)
}
