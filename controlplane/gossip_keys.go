package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/gossip"
)

// askKeysEvery is how often a host looks at the gossip keys that others have, while
// it is not let in or does not use its own.
const askKeysEvery = 30 * time.Second

// maxGossipKeys is the key in use and another one, before it or after.
const maxGossipKeys = 2

// keysLoop keeps this host in gossip while the fleet's key is replaced, in
// whatever order hosts start with the new one. The key of this host's credential
// is the one that it wants. One that hears nobody with it takes the key in use
// from an authority, and goes on to open its own. Since all that do so open the
// new key, it is in use as soon as the last of them has it; and the old one is
// opened no more once nobody encrypts with it. Hosts prove to each other who they
// are by their node certificates, and need no gossip for that.
func (a *Agent) keysLoop(ctx context.Context) {
	ticker := time.NewTicker(askKeysEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		live := a.documents.live.Load()
		if live == nil {
			continue
		}
		if a.lockedOut() {
			a.borrowKey(ctx, live.document.Config.CA.Authorities)
		}
		a.preferOwnKeys(ctx)
	}
}

// lockedOut says that gossip hears nobody though other agents can be reached.
func (a *Agent) lockedOut() bool {
	s := a.fleet.sync.Load()
	if s == nil || s.Stats().Connected == 0 {
		return false
	}
	g := a.fleet.gossip.Load()
	return g == nil || g.Stats().Alive <= 1
}

// borrowKey encrypts with what an authority encrypts with, and opens this host's
// own key as before.
func (a *Agent) borrowKey(ctx context.Context, authorities []string) {
	for _, host := range authorities {
		if host == a.host {
			continue
		}
		answer, err := a.call(ctx, nodesTimeout, host, methodGossip, nil)
		var keys [][]byte
		if err == nil {
			keys, err = readKeys(answer)
		}
		if err != nil {
			a.logger.Warn("no gossip keys", "from", host, "err", err)
			continue
		}
		if now := a.fleet.gossipKeys(); len(now) > 0 && bytes.Equal(now[0], keys[0]) {
			continue // what keeps this host out is something else
		}
		if own := a.opts.GossipKeys; len(own) > 0 {
			keys = pair(keys[0], own[0])
		}
		a.logger.Warn("took gossip keys", "from", host, "key", gossip.Fingerprint(keys[0]))
		a.fleet.setKeys(keys)
		return
	}
}

// preferOwnKeys goes back to the keys of this host's credential, as far as it
// loses nobody by that: one after the other is asked which keys it opens.
func (a *Agent) preferOwnKeys(ctx context.Context) {
	own, now := a.opts.GossipKeys, a.fleet.gossipKeys()
	if len(own) == 0 || len(now) == 0 || slices.EqualFunc(own, now, bytes.Equal) {
		a.problems.clear("gossip key")
		return
	}
	want, closed, other := gossip.Fingerprint(own[0]), "", ""
	others := a.others()
	for _, host := range others {
		names, err := a.askKeyNames(ctx, host)
		if err != nil || !slices.Contains(names, want) {
			a.logger.Info("a host does not open this host's gossip key", "of", host, "key", want, "err", err)
			closed = host
			break
		}
		if names[0] != want {
			other = host
		}
	}
	switch {
	case len(others) == 0:
		a.problems.set("gossip key", "the gossip key in use is not this host's credential, and nobody can be asked who opens that", "")
	case closed != "":
		a.problems.set("gossip key", fmt.Sprintf("the gossip key in use is not this host's credential, which %s does not open", closed),
			"nixmesh deploy --on "+closed)
	case other != "":
		a.problems.set("gossip key", fmt.Sprintf("a gossip key is still opened that is not this host's credential: %s encrypts with it", other),
			"nixmesh deploy --on "+other)
		if !bytes.Equal(now[0], own[0]) {
			a.fleet.setKeys(pair(own[0], now[0]))
		}
	default:
		a.logger.Info("back to this host's own gossip keys", "key", want)
		a.fleet.setKeys(own)
		a.problems.clear("gossip key")
	}
}

// others are the hosts that this one hears, by gossip or by exchange.
func (a *Agent) others() []string {
	var hosts []string
	if g := a.fleet.gossip.Load(); g != nil {
		for _, m := range g.Members() {
			if m.Here() {
				hosts = append(hosts, m.Name)
			}
		}
	}
	if s := a.fleet.sync.Load(); s != nil {
		for _, p := range s.Peers() {
			if p.Connected {
				hosts = append(hosts, p.Host)
			}
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// pair are two keys, or one where they are the same.
func pair(first, second []byte) [][]byte {
	if bytes.Equal(first, second) {
		return [][]byte{first}
	}
	return [][]byte{first, second}
}

func keyNames(keys [][]byte) []string {
	var names []string
	for _, key := range keys {
		names = append(names, gossip.Fingerprint(key))
	}
	return names
}

func (a *Agent) askKeyNames(ctx context.Context, host string) ([]string, error) {
	answer, err := a.call(ctx, nodesTimeout, host, methodKeyNames, nil)
	if err != nil {
		return nil, err
	}
	var names []string
	if err := json.Unmarshal(answer, &names); err != nil {
		return nil, fmt.Errorf("read names of gossip keys: %w", err)
	}
	if len(names) == 0 {
		return nil, errors.New("it has no gossip key")
	}
	return names, nil
}

func readKeys(answer []byte) ([][]byte, error) {
	var keys [][]byte
	if err := json.Unmarshal(answer, &keys); err != nil {
		return nil, fmt.Errorf("read gossip keys: %w", err)
	}
	if len(keys) == 0 || len(keys) > maxGossipKeys {
		return nil, fmt.Errorf("read gossip keys: there are %d", len(keys))
	}
	for _, key := range keys {
		if len(key) != gossip.KeySize {
			return nil, gossip.ErrKeySize
		}
	}
	return keys, nil
}
