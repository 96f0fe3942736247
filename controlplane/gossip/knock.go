package gossip

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/nixmesh/nixmesh/internal/refusal"
)

const (
	knockEvery = time.Second // give or take a quarter
	knockers   = 8           // knocks at once; one at a host that swallows packets takes dialTimeout

	// While hosts join or die, and for so long after the last, a host that misses
	// some asks a member for its list every other round.
	askWhile = 10 * time.Second
	askOneIn = 2
)

// knocker calls at every host of the table that is not alive. memberlist never
// calls a host again that was dead for a minute, nor one it has not heard of, so
// this is how agents find each other at all, and how a partition heals.
//
// Every round, each missing host is called with the chance of one in (members
// that are alive): all of them together knock about once a second at each
// missing host, whether they are two or five hundred. One answer is enough to
// merge two halves, since it brings the whole list of members with it.
//
// Joining is told by packets, and when many join at once some members miss one
// of them that all others know; on a bad network one of them may miss that a
// suspect refuted, and hold it for dead. Their chance to knock just there is
// small; they ask any member instead.
//
// A host that this one suspects is called every round: it learns that it is
// suspected, and refutes. memberlist would tell it with the next probe of it
// only, which in a fleet of forty comes after forty seconds.
type knocker struct {
	list     *memberlist.Memberlist
	view     *view
	table    *table
	refusals *refusal.Counter[Reason]
	wake     chan struct{} // the table changed

	tried, failed atomic.Uint64

	mu   sync.Mutex // guards what follows
	busy map[string]bool
}

// run knocks until ctx ends. Knocks that are under way end with the transport;
// they are waited for.
func (k *knocker) run(ctx context.Context) {
	var knocks sync.WaitGroup
	defer knocks.Wait()
	for {
		for _, name := range k.round() {
			knocks.Go(func() { k.knock(name) })
		}
		wait := time.NewTimer(knockEvery*3/4 + rand.N(knockEvery/2))
		select {
		case <-wait.C:
		case <-k.wake:
		case <-ctx.Done():
			wait.Stop()
			return
		}
		wait.Stop()
	}
}

// round chooses the hosts to knock at now, and takes them as busy.
func (k *knocker) round() []string {
	var missing, here, suspects []string
	for _, m := range k.view.members() {
		switch {
		case !m.Here():
			missing = append(missing, m.Name)
		case m.State == Suspect:
			suspects = append(suspects, m.Name)
			fallthrough
		default:
			here = append(here, m.Name)
		}
	}
	alive := len(here) + 1
	rand.Shuffle(len(missing), func(i, j int) { missing[i], missing[j] = missing[j], missing[i] })

	k.mu.Lock()
	defer k.mu.Unlock()
	var chosen []string
	choose := func(name string) {
		if len(k.busy) < knockers && !k.busy[name] {
			k.busy[name] = true
			chosen = append(chosen, name)
		}
	}
	for _, name := range suspects {
		choose(name)
	}
	for _, name := range missing {
		if rand.IntN(alive) == 0 {
			choose(name)
		}
	}
	if len(missing) > 0 && len(here) > 0 && k.view.sinceNews() < askWhile && rand.IntN(askOneIn) == 0 {
		choose(here[rand.IntN(len(here))])
	}
	return chosen
}

func (k *knocker) knock(name string) {
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.busy, name)
	}()
	at := k.table.addr(name)
	if !at.IsValid() {
		return
	}
	k.tried.Add(1)
	_, err := k.list.Join([]string{name + "/" + at.String()})
	if err == nil {
		return
	}
	k.failed.Add(1)
	// A peer with other keys answers, and what it answers cannot be opened.
	if strings.Contains(err.Error(), "no installed keys could decrypt") {
		k.refusals.Add(WrongKey, name, "none of our keys opens what it says")
	}
}
