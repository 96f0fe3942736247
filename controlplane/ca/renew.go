package ca

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/trust"
)

// askTimeout bounds one exchange with one authority. On a local network it
// takes milliseconds; a busy authority answers that it is.
const askTimeout = 10 * time.Second

// maxProblem bounds the text of a round that failed.
const maxProblem = 1 << 10

// renew asks one authority after the other for a service's leaf, until one
// gives a good one.
func (k *Keeper) renew(ctx context.Context, service string) {
	k.mu.Lock()
	fleet, authorities := k.fleet, k.authorities()
	k.mu.Unlock()
	r := round{service: service}
	for _, authority := range authorities {
		if k.resting(authority, &r) {
			continue
		}
		o, err := k.ask(ctx, fleet, authority, service)
		if ctx.Err() != nil {
			return
		}
		if err == nil && o.err == nil {
			k.take(fleet, service, o)
			return
		}
		r.asked++
		if err == nil {
			r.offers, err = append(r.offers, o), o.err
		}
		r.problem(authority, err.Error())
	}
	if len(authorities) == 0 {
		r.problem("mesh configuration", "it names no authority")
	}
	k.failed(fleet, r)
}

// round is one pass over the authorities without a good leaf.
type round struct {
	service  string
	asked    int
	offers   []offer
	rest     time.Duration // until the first authority may be asked again, of those that were left alone
	problems []string
}

func (r *round) problem(who, what string) { r.problems = append(r.problems, who+": "+what) }

// resting says whether an authority is to be left alone now.
func (k *Keeper) resting(authority string, r *round) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.peers[authority]
	if p == nil {
		p = &peer{}
		k.peers[authority] = p
	}
	rest := p.rests(k.now())
	if rest == 0 {
		return false
	}
	if r.rest == 0 || rest < r.rest {
		r.rest = rest
	}
	r.problem(authority, p.err)
	return true
}

// ask asks one authority, with another nonce if it does not know its own any
// more: it may have started anew in between.
func (k *Keeper) ask(ctx context.Context, fleet *Fleet, authority, service string) (offer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var o offer
	var err error
	for range 2 {
		if o, err = k.exchange(ctx, fleet, authority, service); !isRefusal(err, CodeNonce) {
			break
		}
	}
	if err == nil || isRefusal(err, CodeForm, CodeHost, CodeNode, CodePlacement) {
		return o, err // it answered; another service may fare better
	}
	wait := time.Duration(0)
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
		wait = refusal.Retry
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.peers[authority]; p != nil && !errors.Is(ctx.Err(), context.Canceled) {
		p.failed(k.now(), wait, err)
	}
	return offer{}, err
}

func isRefusal(err error, codes ...Code) bool {
	refusal := (*Refusal)(nil)
	if !errors.As(err, &refusal) {
		return false
	}
	for _, code := range codes {
		if refusal.Code == code {
			return true
		}
	}
	return false
}

// exchange is one nonce, one request, one answer. Each has a new key.
func (k *Keeper) exchange(ctx context.Context, fleet *Fleet, authority, service string) (offer, error) {
	nonce, err := k.Transport.Challenge(ctx, authority, k.Host)
	if err != nil {
		return offer{}, fmt.Errorf("ask for nonce: %w", err)
	}
	if len(nonce) > maxNonce {
		return offer{}, fmt.Errorf("%w: a nonce of %d bytes", ErrWire, len(nonce))
	}
	key, err := trust.NewLeafKey(service)
	if err != nil {
		return offer{}, err
	}
	request, err := Request{
		Authority: authority, Host: k.Host, Service: service,
		NodeCert: string(k.NodeCert.Text()), Key: key.Request, Nonce: nonce,
	}.sign(k.Node)
	if err != nil {
		return offer{}, err
	}
	sent := k.now()
	text, err := k.Transport.Issue(ctx, authority, request)
	if err != nil {
		return offer{}, fmt.Errorf("ask for certificate: %w", err)
	}
	answer, err := ParseAnswer(text)
	if err != nil {
		return offer{}, err
	}
	now := k.now()
	k.heard(authority, answer.Time.Sub(sent.Add(now.Sub(sent)/2)))
	if answer.Refusal != nil {
		return offer{}, answer.Refusal
	}
	return judge(key, service, authority, answer.Chain, fleet.Roots, now)
}

// heard notes that an authority answered, and how its clock differs.
func (k *Keeper) heard(authority string, skew time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.peers[authority]; p != nil {
		p.answered(skew)
	}
}

// take holds a leaf from now on. One that is good ends the trouble there was;
// of another the error stays, and it is asked for a better one with back-off. It
// serves before it is on disk: one that is lost with the power is asked for again.
func (k *Keeper) take(fleet *Fleet, service string, o offer) {
	k.mu.Lock()
	h := k.held[service]
	if h == nil || k.fleet.Roots.Domain != fleet.Roots.Domain {
		k.mu.Unlock()
		return // the configuration changed meanwhile
	}
	h.leaf, h.domain, h.from = &o.leaf, fleet.Roots.Domain, o.from
	h.spare = nil
	h.root, h.doubt = !errors.Is(o.err, trust.ErrUnknownRoot), o.err != nil
	if o.err == nil {
		h.failures, h.err, h.errAt = 0, "", time.Time{}
		h.retry = rest(h, k.now())
	}
	k.mu.Unlock()
	k.Logger.Info("leaf taken", "service", service, "from", o.from, "until", until(o.leaf))
	if k.Changed != nil {
		k.Changed(service)
	}
	k.save(service)
}

// rest is when a new leaf may be asked for at the earliest. An authority whose
// clock is slow gives leaves that have passed half of their life when they come.
func rest(h *held, now time.Time) time.Time {
	return now.Add(max(firstRetry, min(usualRetry, h.leaf.Chain.Life().Left(now)/8)))
}

// failed ends a round without a good leaf.
func (k *Keeper) failed(fleet *Fleet, r round) {
	text := strings.Join(r.problems, "; ")
	text = strings.ToValidUTF8(text[:min(len(text), maxProblem)], "")
	now := k.now()
	k.mu.Lock()
	h := k.held[r.service]
	if h == nil {
		k.mu.Unlock()
		return
	}
	second := choose(h, r.offers, now)
	h.spare = earliest(h.spare, r.offers)
	news := text != h.err
	h.err, h.errAt, h.doubt = text, now, false
	if r.asked == 0 && r.rest > 0 {
		h.retry = now.Add(r.rest)
	} else {
		h.failures++
		h.retry = now.Add(backoff(h.failures, firstRetry, h.patience(second != nil, now)))
		if h.serves(now) && h.retry.After(until(*h.leaf)) {
			h.retry = until(*h.leaf).Add(backoff(1, firstRetry, urgentRetry)) // from then on it is urgent
		}
	}
	k.mu.Unlock()
	if news {
		k.Logger.Warn("leaf not renewed", "service", r.service, "err", text)
	}
	if second != nil {
		k.take(fleet, r.service, *second)
	}
}
