package ca

import (
	"math/rand/v2"
	"time"
)

// Back-off. An authority that does not answer is left alone for a second to a
// minute, so a dead one costs one timeout a minute and not one a service. An
// identity that no authority signs is asked for again after 5 seconds to what
// patience says. An authority that waits for its intermediate wants to be asked
// again in a moment.
const (
	authorityRetry    = time.Second
	maxAuthorityRetry = time.Minute
	firstRetry        = 5 * time.Second
	urgentRetry       = 10 * time.Second
	awaitIntermediate = 3 * time.Second
	usualRetry        = 10 * time.Minute
	maxRetry          = time.Hour
)

// patience is how long a back-off grows to: ten minutes while there is a leaf
// that serves, ten seconds while there is none, and an hour where there is one,
// or a spare, that lives and that this host would not take itself, by its clock
// or roots. Asking helps little then: a person or the time service has to act,
// and each answer is a line in an issue log.
func (h *held) patience(taken bool, now time.Time) time.Duration {
	switch {
	case h.serves(now) && h.spare == nil:
		return usualRetry
	case h.serves(now):
		return maxRetry
	case taken || h.leaf != nil && !h.over(now):
		return maxRetry
	default:
		return urgentRetry
	}
}

// backoff doubles from first to most with each failure, less up to half of it
// by chance, so that hosts which failed together do not ask together.
func backoff(failures int, first, most time.Duration) time.Duration {
	d := most
	if shift := max(0, failures-1); shift < 20 {
		d = min(most, first<<shift)
	}
	return d - time.Duration(rand.Int64N(int64(d)/2+1))
}

// peer is what the keeper knows of an authority.
type peer struct {
	failures int
	retry    time.Time // not before
	err      string    // "" after an answer
	errAt    time.Time
	skew     time.Duration // its clock less ours, at the last answer
}

// rests is how long an authority is still to be left alone. A retry that is
// further away than any back-off was set by a clock that has gone back since.
func (p *peer) rests(now time.Time) time.Duration {
	if wait := p.retry.Sub(now); wait > 0 && wait <= maxAuthorityRetry {
		return wait
	}
	return 0
}

func (p *peer) failed(now time.Time, wait time.Duration, err error) {
	p.failures++
	if wait <= 0 {
		wait = backoff(p.failures, authorityRetry, maxAuthorityRetry)
	}
	p.retry, p.err, p.errAt = now.Add(min(wait, maxAuthorityRetry)), err.Error(), now
}

func (p *peer) answered(skew time.Duration) {
	*p = peer{skew: skew}
}
